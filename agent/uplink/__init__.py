"""The MQTT link to the county: connection, delivery, receipts."""
