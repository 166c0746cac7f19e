"""The same index as a collection on a Milvus server (or in a milvus-lite file). Only in here is pymilvus imported.

address       which server, which collection, and which user
server        the client: its requests, repeated where that may help, and what its errors mean
index_params  the types of index that Milvus has
entities      what a row of a collection holds, and the record of the model that it belongs to
filters       --where in the words of Milvus, where they mean the same
collection    a collection opened for searching
parity        whether its hits are those of exact search
push          embeddings into a collection: what is new, changed or gone
"""
