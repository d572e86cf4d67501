"""The printer-copier: queried directly, over IPP or the USB printer class; a CUPS queue is only a second opinion."""
