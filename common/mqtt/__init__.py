"""One MQTT 5 connection: CONNECT, will, properties, reason codes and their texts."""
