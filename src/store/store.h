/* store: the models on disk, as an OCI image layout that skopeo reads. Owner of every file below its root.
 *
 *   ROOT/oci-layout, index.json, blobs/sha256/HEX (0444), .tug/{lock,partial/,leases/,bundles/,settings/}
 *
 * index.json has one descriptor per name (org.opencontainers.image.ref.name = io.containerd.image.name
 * = the full normalised reference), and one without a name for a model that has none. A model id is
 * the sha256 of its manifest's bytes.
 *
 *   store_open(root, &s, err)                     makes the layout if missing
 *   store_blob_begin(s, digest, size, &w, err)    resumes: w->have bytes are there already
 *   blob_write(w, p, n, err) ... blob_commit(w, err)     verified, fsynced, renamed: visible now
 *   store_put_manifest(s, bytes, n, names, err)          all its blobs must be there
 *   store_gc(s, …)                                what nothing refers to goes
 *
 * Nothing half-written is visible: blobs appear by rename after their digest was right, names by
 * an atomic replacement of index.json. Several processes may use one root: index changes hold an
 * exclusive flock on .tug/lock and re-read index.json inside it; a partial blob is locked by its
 * writer. Whoever frees blobs holds the lock and leaves what a lease of a living process names.
 * A foreign writer (skopeo) takes no lock and no lease: do not prune while it copies into the store.
 *
 * Threads: any; a blob_writer belongs to one thread at a time.
 */
#ifndef TUG_STORE_H
#define TUG_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "oci/manifest.h"
#include "oci/reference.h"

struct store;

bool store_open(const char *root, struct store **ret_store, struct err *err);
void store_close(struct store **s);

/* ---- blobs ---------------------------------------------------------------------------------- */

struct blob_writer {
    uint64_t have;   /* bytes on disk and hashed: go on from here */
    uint64_t size;   /* the whole; UINT64_MAX when not known beforehand (uploads) */
    uint64_t reread; /* bytes that store_blob_begin had to read again to go on hashing */
    struct blob_private *p;
};

bool store_blob_exists(struct store *s, const char *digest, uint64_t *ret_size); /* ret_size may be NULL */
/* Takes the partial's lock; another process has it: ERR_BUSY (wait: store_blob_wait). Not enough disk: ERR_NO_SPACE
 * up front, with what is missing. digest NULL: an upload whose digest is not known yet (never resumed). */
bool store_blob_begin(struct store *s, const char *digest, uint64_t size, struct blob_writer **ret_w, struct err *err);
/* Appends; the hash runs along. More than size bytes: ERR_PROTOCOL. Periodically synced and noted, so that kill -9
 * loses nothing that was written and a power cut at most the last 64 MiB. */
bool blob_write(struct blob_writer *w, const void *p, size_t n, struct err *err);
/* Forget what is there and start at 0 again (the source cannot range). */
bool blob_restart(struct blob_writer *w, struct err *err);
/* Verify, fsync, rename, fsync of the folder; frees w in every case. A wrong digest removes the data: ERR_PROTOCOL,
 * naming both digests. With an unknown digest, ret_digest (DIGEST_TEXT bytes) gets it; may be NULL. */
bool blob_commit(struct blob_writer **w, char *ret_digest, struct err *err);
void blob_pause(struct blob_writer **w);   /* keeps the partial for a later resume; NULL is fine */
void blob_discard(struct blob_writer **w); /* removes it; NULL is fine */
/* Waits until the lock of a partial is free (true) or deadline (ERR_BUSY) or cancel_fd closes (ERR_CANCELLED). */
bool store_blob_wait(struct store *s, const char *digest, int64_t deadline_ns, int cancel_fd, struct err *err);
/* How far a partial is, whoever writes it; false: there is none. */
bool store_blob_progress(struct store *s, const char *digest, uint64_t *ret_have);
/* ERR_NO_SPACE, with what is missing, unless `bytes` more fit on the disk. store_blob_begin asks for its own blob. */
bool store_check_space(struct store *s, uint64_t bytes, struct err *err);

bool store_blob_read(struct store *s, const char *digest, size_t max, struct buf *out,
                     struct err *err); /* small ones; verified */
/* ROOT/blobs/sha256/HEX, malloc'd; the blob must exist: ERR_NOT_FOUND. */
bool store_blob_path(struct store *s, const char *digest, char **ret_path, struct err *err);
bool store_put_blob(struct store *s, const void *bytes, size_t n, char ret_digest[DIGEST_TEXT], struct err *err);

/* ---- leases ---------------------------------------------------------------------------------- */

/* Blobs that are complete while no manifest in the index names them yet would be garbage to a prune or remove (of any
 * process). A lease keeps them: name a blob first, then look whether it is there. It ends with its process at the
 * latest. One thread at a time. */
struct store_lease;
bool store_lease_begin(struct store *s, struct store_lease **ret_lease, struct err *err);
bool store_lease_add(struct store_lease *l, const char *digest, struct err *err);
void store_lease_end(struct store_lease **l); /* NULL is fine */
/* blob_commit adds its digest to the lease before the blob is visible; for digests that are not known before. */
void blob_use_lease(struct blob_writer *w, struct store_lease *l);

/* ---- models ---------------------------------------------------------------------------------- */

struct model {
    char id[DIGEST_TEXT];
    const char **names; /* full references, sorted */
    size_t n_names;
    struct manifest manifest;
    struct model_config config;
    int64_t created_wall_ns;
};

/* Stores the manifest blob and makes `name` (may be NULL) point to it; the name's old model may become nameless. A blob
 * of it that is missing: ERR_CONFLICT. The id (= digest of bytes) goes to ret_id, may be NULL. */
bool store_put_manifest(struct store *s, const void *bytes, size_t n, const struct reference *name, char *ret_id,
                        struct err *err);
/* A missing model: ERR_NOT_FOUND, whose text says how to pull it. `text`: reference, id, 12-char id, or a bare last
 * component that only one model has. */
bool store_find(struct store *s, const char *text, struct arena *a, struct model *ret_model, struct err *err);
/* As store_find, but only the id, and nothing is read while index.json has not changed: for the path that every
 * request takes. */
bool store_find_id(struct store *s, const char *text, char ret_id[DIGEST_TEXT], struct err *err);
bool store_list(struct store *s, struct arena *a, struct model **ret_models, size_t *ret_n,
                struct err *err); /* newest first; a damaged one is logged and left out */
bool store_tag(struct store *s, const char *source, const struct reference *target, struct err *err);

struct store_removal {
    char kind[12]; /* "Untagged" or "Deleted" */
    char what[512];
};
/* DMR's rules (dmr.md 4.8): by name untags, and deletes with the last name; by id with several names: ERR_CONFLICT
 * unless force. What was done, in order, into the arena. Blobs that nothing else refers to are freed. */
bool store_remove(struct store *s, const char *text, bool force, struct arena *a, struct store_removal **ret,
                  size_t *ret_n, struct err *err);
/* Models without a name (with all: every model), but those pinned; their blobs, blobs that nothing refers to and
 * partials that nobody is writing. */
bool store_prune(struct store *s, bool all, struct arena *a, struct store_removal **ret, size_t *ret_n,
                 uint64_t *ret_freed_bytes, struct err *err);
bool store_purge(struct store *s, struct err *err);

struct store_usage {
    uint64_t blobs_bytes, partial_bytes, reclaimable_bytes;
    size_t models, blobs;
};
bool store_usage(struct store *s, struct store_usage *ret, struct err *err);
/* While pinned (an engine of this process uses it), remove and purge refuse: ERR_CONFLICT; prune leaves it. Counted. */
void store_pin(struct store *s, const char *id);
void store_unpin(struct store *s, const char *id);

/* ---- settings -------------------------------------------------------------------------------- */

/* A small text that stays with a model, .tug/settings/HEX.json: kept through tags, restarts and other daemons on the
 * same root, and removed with the model. The store does not look into it. A model without one: ERR_NOT_FOUND. */
bool store_settings_read(struct store *s, const char *id, struct buf *out, struct err *err);
/* Under the store lock: `change` gets the old text ("": none) and makes the new one ("": none is kept), which is on the
 * disk when this returns. Its false ends it without writing. A model that is not in the index: ERR_NOT_FOUND. The store
 * may not be called from within. */
bool store_settings_update(struct store *s, const char *id,
                           bool (*change)(void *ctx, const char *old, struct buf *ret_text, struct err *err), void *ctx,
                           struct err *err);
/* Calls each(ctx, id) for every model that has settings, in the order of ids, until it returns false. */
bool store_settings_list(struct store *s, bool (*each)(void *ctx, const char *id), void *ctx, struct err *err);

/* The files of a model under the names an engine wants (dmr.md 4.5), symlinks into blobs/ under
 * .tug/bundles/HEX: model.gguf or model-0000N-of-0000M.gguf, mmproj.gguf, template.jinja. Paths, malloc'd.
 * Not GGUF: ERR_UNSUPPORTED; a blob that is gone or cut: ERR_NOT_FOUND. */
struct store_bundle {
    char *model, *mmproj, *chat_template; /* NULL: the model has none */
};
bool store_bundle(struct store *s, const struct model *m, struct store_bundle *ret, struct err *err);
void store_bundle_done(struct store_bundle *b);

#endif
