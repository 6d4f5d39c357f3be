"""What all gRPC servers and channels here have in common."""

# The state of a large stack is one message.
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
