# The units as the package has them: its program, and its configuration, which the group alignd may
# read and nobody else.
s,/opt/alignd/bin/alignd,/usr/bin/alignd,
/^User=alignd-/,/^SupplementaryGroups=/s/^SupplementaryGroups=/&alignd /
