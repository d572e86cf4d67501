"""The county side: store, recorder, live view, simulator and the command `yinong-center`."""
