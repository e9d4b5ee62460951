/* The tree after any block, for provers. */
#include "state/root_impl.h"

#include "base/alloc.h"
#include "shrewd/proof.h"

#include <stdlib.h>
#include <string.h>

struct shr_root_view {
    struct shr_store *store;
    struct shr_scans *scans;
    uint32_t height;
    struct shr_root_page *top;
    bool has_top; /* it has been asked for; NULL is an empty tree */
};

struct shr_root_view *shr_root_view_new(struct shr_store *store,
                                        const struct shr_snapshot *snapshot, uint32_t height) {
    struct shr_root_view *view = shr_alloc(sizeof *view);
    view->store = store;
    view->scans = shr_store_scans_new(store, snapshot, SHR_TABLE_ROOT);
    view->height = height;
    return view;
}

void shr_root_view_free(struct shr_root_view *view) {
    if (view != NULL) {
        shr_root_page_free(view->top);
        shr_store_scans_free(view->scans);
        free(view);
    }
}

static int top_page(struct shr_root_view *view, struct shrewd_error *err) {
    static const struct shr_hash any;
    int code = 0;
    if (!view->has_top) {
        code = shr_root_page_read(&view->top, view->store, view->scans, 0, &any, view->height, err);
        view->has_top = code == 0;
    }
    return code;
}

/* The page below one of an inner page's slots, which holds something. */
static int page_below(struct shr_root_view *view, struct shr_root_page **out,
                      struct shr_root_page *page, const struct shr_hash *path,
                      struct shrewd_error *err) {
    struct shr_root_page **below = &page->of.inner->pages[shr_root_nibble(path, page->depth)];
    int code = *below != NULL ? 0
                              : shr_root_page_need(below, view->store, view->scans,
                                                   page->depth + 1u, path, view->height, err);
    *out = *below;
    return code;
}

static bool bit_of(const struct shr_hash *key, unsigned bit) {
    return (key->b[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

/* A node inside an inner page, or some of a bucket's leaves. */
struct place {
    struct shr_root_page *page; /* NULL: the tree is empty */
    unsigned depth;             /* in bits */
    struct shr_hash path;       /* its first `depth` bits; then zeros */
    unsigned node;              /* in an inner page, see shr_root_nodes */
    const struct shr_root_leaf *leaves;
    size_t n;
};

/* Of the inner pages on the way from the root to a place, one at each depth, the nodes. */
struct way {
    struct shr_root_top nodes[SHR_ROOT_DEPTH_MAX][SHR_ROOT_NODES];
};

static void enter_page(struct place *place, struct way *way, struct shr_root_page *page) {
    place->page = page;
    place->node = 0;
    if (page != NULL && page->is_inner) {
        struct shr_root_top *nodes = way->nodes[page->depth];
        memcpy(nodes + SHR_ROOT_SLOTS - 1, page->of.inner->slots, sizeof page->of.inner->slots);
        shr_root_nodes(nodes);
    } else if (page != NULL) {
        place->leaves = page->of.leaves;
        place->n = page->n;
    }
}

static void top_of(struct shr_root_top *out, const struct place *place, const struct way *way) {
    if (place->page == NULL) {
        *out = (struct shr_root_top){0};
    } else if (place->page->is_inner) {
        *out = way->nodes[place->page->depth][place->node];
    } else {
        shr_root_leaves_top(out, place->leaves, place->n, place->depth);
    }
}

/* The one leaf of a place that has one. */
static int leaf_of(struct shr_root_view *view, struct shr_root_leaf *out, const struct place *place,
                   const struct way *way, struct shrewd_error *err) {
    if (!place->page->is_inner) {
        *out = place->leaves[0];
        return 0;
    }
    const struct shr_root_top *nodes = way->nodes[place->page->depth];
    struct shr_hash path = place->path;
    unsigned node = place->node;
    for (unsigned depth = place->depth; node < SHR_ROOT_SLOTS - 1; depth++) {
        bool right = shr_root_empty(&nodes[2 * node + 1]);
        path.b[depth / 8] |= (uint8_t)(right ? 0x80u >> depth % 8 : 0);
        node = 2 * node + 1 + right;
    }
    struct shr_root_page *below = NULL;
    int code = page_below(view, &below, place->page, &path, err);
    if (code == 0 && (below->is_inner || below->n != 1)) {
        struct shr_root_key key = shr_root_key(below->depth, &path, view->height);
        code = shr_corrupt(view->store, SHR_TABLE_ROOT, shr_root_key_bytes(&key),
                           "the page above says that it has a single leaf", err);
    }
    if (code == 0) {
        *out = below->of.leaves[0];
    }
    return code;
}

/* One of the two halves of a place with more than one leaf. */
static int half_of(struct shr_root_view *view, struct place *out, const struct place *place,
                   bool right, struct way *way, struct shrewd_error *err) {
    *out = *place;
    out->depth++;
    if (right) {
        out->path.b[place->depth / 8] |= (uint8_t)(0x80u >> place->depth % 8);
    }
    if (!place->page->is_inner) {
        size_t lefts = 0;
        while (lefts < place->n && !bit_of(&place->leaves[lefts].key, place->depth)) {
            lefts++;
        }
        out->leaves = right ? place->leaves + lefts : place->leaves;
        out->n = right ? place->n - lefts : lefts;
        return 0;
    }
    out->node = 2 * place->node + 1 + right;
    if (out->node < SHR_ROOT_SLOTS - 1 ||
        shr_root_empty(&way->nodes[place->page->depth][out->node])) {
        return 0;
    }
    struct shr_root_page *below = NULL; /* a slot is the top of the page below */
    int code = page_below(view, &below, place->page, &out->path, err);
    if (code == 0) {
        enter_page(out, way, below);
    }
    return code;
}

static int enter_tree(struct shr_root_view *view, struct place *out, struct way *way,
                      struct shrewd_error *err) {
    *out = (struct place){0};
    int code = top_page(view, err);
    enter_page(out, way, view->top);
    return code;
}

/* Whether two hashes begin with the same bits. */
static bool alike(const struct shr_hash *a, const struct shr_hash *b, unsigned bits) {
    for (unsigned bit = 0; bit < bits; bit++) {
        if (bit_of(a, bit) != bit_of(b, bit)) {
            return false;
        }
    }
    return true;
}

/* The deepest place on the way to `path`, at most `depth` bits down, above which nothing is empty
 * or has a single leaf. */
static int find_place(struct shr_root_view *view, struct place *place, struct shr_root_top *top,
                      unsigned depth, const struct shr_hash *path, struct way *way,
                      struct shrewd_error *err) {
    int code = enter_tree(view, place, way, err);
    for (top_of(top, place, way); code == 0 && place->depth < depth; top_of(top, place, way)) {
        if (top->single || shr_root_empty(top)) {
            break;
        }
        struct place above = *place;
        code = half_of(view, place, &above, bit_of(path, above.depth), way, err);
    }
    return code;
}

static int find_node(struct shr_root_view *view, struct shr_root_node *out, unsigned depth,
                     const struct shr_hash *path, struct way *way, struct shrewd_error *err) {
    struct place place;
    struct shr_root_top top;
    int code = find_place(view, &place, &top, depth, path, way, err);
    *out = (struct shr_root_node){.kind = SHR_ROOT_EMPTY};
    if (code != 0 || shr_root_empty(&top)) {
        return code;
    }
    if (top.single) {
        struct shr_root_leaf leaf;
        code = leaf_of(view, &leaf, &place, way, err);
        if (code != 0 || !alike(&leaf.key, path, depth)) {
            return code;
        }
        out->key = leaf.key;
        out->value = leaf.value;
    }
    out->kind = top.single ? SHR_ROOT_LEAF : SHR_ROOT_INNER;
    out->hash = top.hash;
    return 0;
}

int shr_root_node(struct shr_root_view *view, struct shr_root_node *out, unsigned depth,
                  const struct shr_hash *path, struct shrewd_error *err) {
    struct way *way = shr_alloc(sizeof *way);
    int code = find_node(view, out, depth, path, way, err);
    free(way);
    return code;
}

/* Fills in those of the nodes `depth` bits down that are below a place, by their last nibble. */
static int fill_below(struct shr_root_view *view, struct shr_root_node *out,
                      const struct place *place, unsigned depth, struct way *way,
                      struct shrewd_error *err) {
    struct shr_root_top top;
    top_of(&top, place, way);
    unsigned nibble = depth / SHR_ROOT_LEVELS - 1;
    if (shr_root_empty(&top)) {
        return 0;
    }
    if (top.single) {
        struct shr_root_leaf leaf;
        int code = leaf_of(view, &leaf, place, way, err);
        if (code == 0) {
            out[shr_root_nibble(&leaf.key, nibble)] = (struct shr_root_node){
                SHR_ROOT_LEAF, top.hash, .key = leaf.key, .value = leaf.value};
        }
        return code;
    }
    if (place->depth == depth) {
        out[shr_root_nibble(&place->path, nibble)] =
            (struct shr_root_node){.kind = SHR_ROOT_INNER, .hash = top.hash};
        return 0;
    }
    struct place half;
    int code = 0;
    for (int right = 0; code == 0 && right <= 1; right++) {
        code = half_of(view, &half, place, right, way, err);
        code = code != 0 ? code : fill_below(view, out, &half, depth, way, err);
    }
    return code;
}

int shr_root_below(struct shr_root_view *view, struct shr_root_node out[SHR_ROOT_BELOW],
                   unsigned nibbles, const struct shr_hash *path, struct shrewd_error *err) {
    struct way *way = shr_alloc(sizeof *way);
    struct place place;
    struct shr_root_top top;
    unsigned depth = nibbles * SHR_ROOT_LEVELS;
    memset(out, 0, SHR_ROOT_BELOW * sizeof *out);
    int code = find_place(view, &place, &top, depth, path, way, err);
    if (code == 0 && top.single) {
        struct shr_root_leaf leaf;
        code = leaf_of(view, &leaf, &place, way, err);
        if (code == 0 && alike(&leaf.key, path, depth)) {
            out[shr_root_nibble(&leaf.key, nibbles)] = (struct shr_root_node){
                SHR_ROOT_LEAF, top.hash, .key = leaf.key, .value = leaf.value};
        }
    } else if (code == 0 && !shr_root_empty(&top)) {
        code = fill_below(view, out, &place, depth + SHR_ROOT_LEVELS, way, err);
    }
    free(way);
    return code;
}

static void add_hash(struct shr_buf *out, const struct shr_hash *hash) {
    shr_buf_append(out, hash->b, sizeof hash->b);
}

/* Recurses no deeper than keys' hashes have bits. */
static int prove_place(struct shr_root_view *view, struct shr_buf *out, const struct place *place,
                       const struct shr_hash *keys, size_t n, struct way *way,
                       struct shrewd_error *err) {
    struct shr_root_top top;
    top_of(&top, place, way);
    if (shr_root_empty(&top)) {
        shr_buf_add_u8(out, SHREWD_PROOF_EMPTY);
        return 0;
    }
    if (n == 0) {
        shr_buf_add_u8(out, SHREWD_PROOF_HASH);
        add_hash(out, &top.hash);
        return 0;
    }
    if (top.single) {
        struct shr_root_leaf leaf;
        int code = leaf_of(view, &leaf, place, way, err);
        if (code == 0) {
            shr_buf_add_u8(out, SHREWD_PROOF_LEAF);
            add_hash(out, &leaf.key);
            add_hash(out, &leaf.value);
        }
        return code;
    }
    size_t lefts = 0;
    while (lefts < n && !bit_of(&keys[lefts], place->depth)) {
        lefts++;
    }
    shr_buf_add_u8(out, SHREWD_PROOF_INNER);
    struct place half;
    int code = half_of(view, &half, place, false, way, err);
    if (code == 0) {
        code = prove_place(view, out, &half, keys, lefts, way, err);
    }
    if (code == 0) {
        code = half_of(view, &half, place, true, way, err);
    }
    return code != 0 ? code : prove_place(view, out, &half, keys + lefts, n - lefts, way, err);
}

int shr_root_prove(struct shr_root_view *view, struct shr_buf *out, const struct shr_hash *keys,
                   size_t n, struct shrewd_error *err) {
    struct way *way = shr_alloc(sizeof *way);
    struct place place;
    shr_buf_add_u8(out, SHREWD_PROOF_VERSION);
    int code = enter_tree(view, &place, way, err);
    if (code == 0) {
        code = prove_place(view, out, &place, keys, n, way, err);
    }
    free(way);
    return code;
}
