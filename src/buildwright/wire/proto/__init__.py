"""BuildKit's messages: `.proto` files of our own, and the stubs generated from them (`make generate`)."""
