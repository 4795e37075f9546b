"""Every write of ads: orders, creatives and their review, beacons, leases, settlement."""
