"""A gRPC server on a byte stream.

await Server({"/grpc.health.v1.Health/Check": handler}).serve(stream)
"""
