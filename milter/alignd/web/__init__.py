"""The page that shows the ledger to supporters, and one domain to its admin by a link."""
