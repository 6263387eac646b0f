"""Verdicts for PLCs and brokers: one handshake, mapped to OPC UA, Modbus TCP and MQTT."""
