"""One problem on several devices: sharded weights, dealt rows, exchanged neurons."""
