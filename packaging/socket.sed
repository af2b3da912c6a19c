# In the package systemd owns the socket of alignd: it comes with the service, and stays open while
# that is restarted.
/^\[Unit\]$/a\
Requires=alignd.socket\
After=alignd.socket
/^\[Service\]$/a\
Sockets=alignd.socket
/^\[Install\]$/a\
Also=alignd.socket
