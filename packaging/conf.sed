# The configuration as the package has it: systemd owns the socket, and all services read it as
# members of the group alignd.
s/^#socket = "inet:8899@127.0.0.1"$/socket = "fd:3"/
/^# Each service reads this file as a user of its own/,/^# have files of their own\.$/c\
# Each service reads this file as a member of the group alignd: root:alignd, mode 0640. The socket\
# belongs to systemd, as alignd.socket says, so that no connection is refused during a restart.
