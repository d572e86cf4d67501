"""From MQTT into the store, and receipts back; parcels that came by USB stick."""
