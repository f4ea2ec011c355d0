"""ministack, with sequence numbers as Kinesis has them: without leading zeros, which its own begin with."""

from ministack import app
from ministack.services import kinesis

number = kinesis._next_sequence_number
kinesis._next_sequence_number = lambda: "49" + number()
app.main()
