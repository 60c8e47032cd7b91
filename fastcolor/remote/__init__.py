"""More than one machine: folders at addresses, and a job that many processes do together.

    store = Store("s3://bucket/scans")       # store: list, fetch, write whole; tries again, then says why not
    path = far.stand_in("s3://bucket/scans") # far: paths on this machine that stand for files elsewhere
    part = read_shard("3/16")                # shards: which part of a job is this process's own
    manifest.begin(names)                    # manifest: what has been made with what, a row for each result
    on_ray("local", tasks, begin)            # on_ray: the same work in many processes of a cluster

It knows nothing of photos. fsspec, pyarrow and Ray are loaded when they are needed, so whoever works on local folders
waits for none of them.
"""
