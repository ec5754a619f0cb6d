"""A gRPC client on a byte stream.

async with Channel(stream, authority="localhost") as channel:
    answer = await channel.unary("/grpc.health.v1.Health/Check", request, timeout=5)
    async with channel.call("/moby.buildkit.v1.Control/Status") as call: ...
"""
