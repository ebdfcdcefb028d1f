"""What ``checkpoint`` looks with: headers, families, old configs, folders and the hub. No torch."""
