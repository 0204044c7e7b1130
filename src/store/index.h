/* store/index: index.json, read anew each time and replaced as a whole.
 *
 * What others wrote stays: members and entries that we do not know are kept; an entry whose digest
 * is not one is kept and skipped. Changes go through index_update, under the store lock.
 */
#ifndef TUG_STORE_INDEX_H
#define TUG_STORE_INDEX_H

#include "store/layout.h"
#include "json/json_read.h"

struct index {
    json_t *root;
    json_t *manifests; /* borrowed from root */
};

struct index_entry {
    const char *digest, *media_type; /* borrowed; media_type "" if absent */
    uint64_t size;
    char name[512]; /* normalised reference, "" : none */
};

#define INDEX_INIT ((struct index){0})

bool index_parse(const char *data, size_t n, struct index *ret, struct err *err);
bool index_read(struct store *s, struct index *ret, struct err *err);
void index_done(struct index *x);

/* The last index.json that was read, for as long as the file is the same. Any thread. */
struct index_cache *index_cache_new(void);
void index_cache_free(struct index_cache **cache);

size_t index_count(const struct index *x);
bool index_get(const struct index *x, size_t i, struct index_entry *ret); /* false: not an entry that we understand */
void index_drop(struct index *x, size_t i);
/* Makes i nameless, or drops it when its model has another entry. */
void index_untag(struct index *x, size_t i);
/* `name` NULL: an entry without a name, unless the model has one entry at least. Takes the name off another model. */
void index_add(struct index *x, const char *digest, const char *media_type, uint64_t size, const char *name);

/* What `text` means: a reference, id, 12-character id, or a bare last component that only one model has. */
struct index_match {
    char id[DIGEST_TEXT];
    char name[512]; /* the name that was meant; "" when it was an id */
};
bool index_resolve(const struct index *x, const char *text, struct index_match *ret, struct err *err);

/* index_resolve on the cached index. */
bool index_find(struct store *s, const char *text, struct index_match *ret, struct err *err);

/* Reads, changes, writes; the store lock is held. `change` is called again when a foreign writer was faster, and its
 * false ends it without writing. */
bool index_update(struct store *s, bool (*change)(void *ctx, struct index *x, struct err *err), void *ctx,
                  struct err *err);

#endif
