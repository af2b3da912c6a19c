"""The process of `alignd feedback --record`: begin with `service`. It touches no mail."""
