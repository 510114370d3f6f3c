"""Messages for parameters that other clients support and asyncpg does not: each says what to do instead."""

LEAVE_OUT = "is nothing that the driver can do: leave it out"
HINTS = {
    "client_encoding": "must be UTF8, which is sent whatever it says: leave it out",
    "encoding": "must be UTF8, which is sent whatever it says: leave it out",
    "charset": "must be UTF8, which is sent whatever it says: leave it out",
    "hostaddr": "is not understood: write the address as the host",
    "service": "is not understood: write into the URL what the file says of the service",
    "servicefile": "is not understood: write into the URL what the file says of the service",
    "keepalives": "must be 1: every connection over TCP is kept alive",
    "load_balance_hosts": "must be disable: hosts are tried in their order",
    "loadbalancehosts": "is not understood: hosts are tried in their order",
    **dict.fromkeys(
        ("socket_timeout", "sockettimeout", "command_timeout", "query_timeout"),
        "is not understood: set DB_STATEMENT_TIMEOUT",
    ),
    **dict.fromkeys(("timeout", "connecttimeout", "logintimeout"), "is not understood: write connect_timeout"),
    **dict.fromkeys(("pool", "pool_size", "max_connections"), "is not understood: set DB_POOL_SIZE"),
    "max_overflow": "is not understood: set DB_MAX_OVERFLOW",
    **dict.fromkeys(("pool_recycle", "max_lifetime"), "is not understood: set DB_POOL_RECYCLE"),
    "sslaccept": "is not understood: write sslmode=verify-full, or sslmode=require for `accept_invalid_certs`",
    "sslidentity": "is not understood: write sslcert and sslkey, with files in PEM",
    "direct_tls": "is not understood: write sslnegotiation=direct",
    "requiressl": "is not understood: write sslmode=require",
    "targetservertype": "is not understood: write target_session_attrs",
    **dict.fromkeys(("unix_sock", "unix_socket", "socket"), "is not understood: write host=/folder/of/the/socket"),
    "gssencmode": "must be disable or prefer: the driver encrypts with TLS alone",
    **dict.fromkeys(
        (
            "require_auth", "requirepeer", "replication", "sslcrldir", "sslsni", "sslcertmode", "sslcompression",
            "gssdelegation", "sslkeylogfile", "scram_client_key", "scram_server_key", "min_protocol_version",
            "max_protocol_version", "oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope",
        ),
        LEAVE_OUT,
    ),
}  # fmt: skip
