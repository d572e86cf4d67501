"""MQTT in, receipts out; and the import of parcels."""
