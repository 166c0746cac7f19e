"""The same index as a collection on a Milvus server (or in a milvus-lite file). Only in here is pymilvus imported.

address      which server, which collection, and who asks
server       the client: what it is asked, again where that may help, and what its errors mean
kinds        the kinds of index that Milvus makes
rows         what a row of a collection holds, and the record that tells whose it is
conditions   --where in the words of Milvus, where they mean the same
collection   a collection opened for searching
parity       whether its hits are those of exact search
push         embeddings into a collection: what is new, changed or gone
"""
