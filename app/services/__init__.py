"""Use cases that span tables or reach outside; never a mere forwarder to crud."""
