"""AIM symbology identifiers (ISO/IEC 15424): `]cm`, a code character and a modifier."""

NAMES = {
    "A": "Code 39",
    "B": "Telepen",
    "C": "Code 128",
    "D": "Code One",
    "E": "EAN/UPC",
    "F": "Codabar",
    "G": "Code 93",
    "H": "Code 11",
    "I": "Interleaved 2 of 5",
    "J": "DotCode",
    "K": "Code 16K",
    "L": "PDF417",
    "M": "MSI",
    "N": "Anker",
    "O": "Codablock",
    "P": "Plessey",
    "Q": "QR Code",
    "R": "Straight 2 of 5, two-bar start",
    "S": "Straight 2 of 5, three-bar start",
    "T": "Code 49",
    "U": "MaxiCode",
    "X": "Other bar code",
    "Y": "System expansion",
    "Z": "No bar code",
    "c": "Channel Code",
    "d": "Data Matrix",
    "e": "GS1 DataBar or Composite",
    "g": "Grid Matrix",
    "h": "Han Xin",
    "o": "OCR",
    "p": "PosiCode",
    "s": "Super Code",
    "u": "Ultracode",
    "z": "Aztec Code",
}

GS1 = {"C1": "GS1-128", "d2": "GS1 DataMatrix", "e0": "GS1 DataBar", "Q3": "GS1 QR Code", "J1": "GS1 DotCode"}

# With these the gun has interpreted ECI: the text may contain escapes `\nnnnnn` and every backslash in it is doubled.
ECI_MODES = frozenset(
    {"Q2", "Q4", "Q6", "d4", "d5", "d6", "z3", "z4", "z5", "z9", "zA", "zB", "L1", "U2", "U3", "h1", "J3", "J4", "J5"}
)


def is_identifier(code: str) -> bool:
    """`code` is a code character and a modifier, without the bracket."""
    return len(code) == 2 and code.isascii() and code[0].isalpha() and code[1].isalnum()


def symbology_name(code: str | None) -> str | None:
    """The symbology of an identifier without its bracket; None if there is none or the standard does not define it."""
    if code is None or not is_identifier(code):
        return None
    return GS1.get(code) or NAMES.get(code[0])
