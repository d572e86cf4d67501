"""The event journal: starts, stops and clocks, with evidence that can be checked afterwards."""
