"""The trial of partitions: processes that are killed, paused and cut off while they share them."""
