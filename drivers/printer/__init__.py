"""The printer-copier: asked itself, over IPP or the USB printer class; a CUPS queue is a second opinion only."""
