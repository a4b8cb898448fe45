/*
 * Whether LMDB may map a file: LMDB believes every number that stands in it, so that a damaged
 * one ends the process (a page beyond the end of the file: SIGBUS), again after each restart.
 * So before it is mapped every page that can be reached is read once, by read(2), and its
 * numbers are held against its bounds: the tree's shape, where entries lie within a page, what
 * they point at, and that no page is reached twice. What the entries say is not looked at here:
 * record.c.
 *
 * The format is that of LMDB 0.9 with 64-bit words, little-endian (MDB_DATA_VERSION 1).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "state/local_priv.h"

enum {
	META_MAGIC_LOW = 0xC0DE,
	META_MAGIC_HIGH = 0xBEEF,
	META_VERSION = 1,
	PAGE_LEAST = 512,
	PAGE_MOST = 64 * 1024,
	PAGE_HEAD = 16,
	NODE_HEAD = 8,
	DB_BYTES = 48,
	DEPTH_MOST = 32, /* LMDB's own */
	PAGES_MOST = 1 << 24,
	MDB_KEY_MOST = 511,
	/* where things stand on a meta page, behind its head */
	META_DBS = 24,
	META_LAST = META_DBS + 2 * DB_BYTES,
	META_TXN = META_LAST + 8,
};
enum { P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8 };
enum { F_BIGDATA = 1, F_SUBDATA = 2 };
enum { FREE_FLAGS = MDB_INTEGERKEY };
enum tree { TREE_FREE, TREE_MAIN, TREE_SPACE };

static const uint64_t no_page = UINT64_MAX;

struct check {
	int fd;
	size_t page_bytes;
	uint64_t pages;      /* in the file */
	uint64_t last;       /* that was ever used */
	unsigned char *seen; /* a bit for each */
	/* The order of a tree's keys: behind what the next one must stand, or may be equal to.
	 */
	unsigned char before[MDB_KEY_MOST];
	size_t before_n;
	bool has_before, may_equal;
	struct err *err;
};

struct counts { /* in the order of the file */
	uint64_t branches, leaves, overflow, entries;
};

static uint64_t
number(const unsigned char *p, size_t bytes)
{
	uint64_t v = 0;
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static int
read_at(int fd, unsigned char *out, size_t bytes, uint64_t offset, struct err *err)
{
	while (bytes > 0) {
		ssize_t n = pread(fd, out, bytes, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read it");
		if (n == 0)
			return err_set(err, "it ends too early");
		out += n;
		offset += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* Marks n pages as reached. */
static int
reach(struct check *c, uint64_t page, uint64_t n)
{
	if (page >= c->pages || n == 0 || n > c->pages - page)
		return err_set(c->err, "a page beyond its end is needed");
	for (uint64_t i = page; i < page + n; i++) {
		unsigned char bit = (unsigned char)(1 << (i & 7));
		if ((c->seen[i / 8] & bit) != 0)
			return err_set(c->err, "a page is used twice");
		c->seen[i / 8] |= bit;
	}
	return 0;
}

static int walk(struct check *c, const unsigned char *db, enum tree tree);

/* A list of free pages: LMDB will write to them. */
static int
check_free(struct check *c, const unsigned char *list, size_t bytes)
{
	if (bytes < 8 || number(list, 8) > (bytes - 8) / 8)
		return err_set(c->err, "its list of free pages is wrong");
	for (uint64_t i = 1; i <= number(list, 8); i++) {
		uint64_t page = number(list + 8 * i, 8);
		if (page > c->last)
			return err_set(c->err, "its list of free pages is wrong");
		if (page < c->pages && reach(c, page, 1) < 0)
			return -1;
	}
	return 0;
}

static int
check_overflow(struct check *c, const unsigned char *where, size_t bytes, enum tree tree,
	struct counts *counts)
{
	unsigned char head[PAGE_HEAD];
	uint64_t page = number(where, 8), offset = page * c->page_bytes;
	if (page >= c->pages)
		return err_set(c->err, "a page beyond its end is needed");
	if (read_at(c->fd, head, sizeof(head), offset, c->err) < 0)
		return -1;
	uint64_t n = number(head + 12, 4);
	if (number(head, 8) != page || number(head + 10, 2) != P_OVERFLOW ||
		n * c->page_bytes < PAGE_HEAD + bytes)
		return err_set(c->err, "a page is not what it should be");
	if (reach(c, page, n) < 0)
		return -1;
	counts->overflow += n;
	if (tree != TREE_FREE)
		return 0;
	unsigned char *list = mem_new(bytes);
	int result = read_at(c->fd, list, bytes, offset + PAGE_HEAD, c->err);
	if (result == 0)
		result = check_free(c, list, bytes);
	mem_free(list);
	return result;
}

/* A key in its turn: of a leaf, or of a branch, which the ones under it may be equal to. */
static int
check_order(struct check *c, const unsigned char *node, enum tree tree, bool leaf)
{
	size_t n = number(node + 6, 2), common = n < c->before_n ? n : c->before_n;
	const unsigned char *key = node + NODE_HEAD;
	if (tree == TREE_FREE && n != 8)
		return err_set(c->err, "its list of free pages is wrong");
	if (c->has_before) {
		int cmp = memcmp(c->before, key, common);
		if (tree == TREE_FREE)
			cmp = number(c->before, 8) < number(key, 8)
				      ? -1
				      : number(c->before, 8) > number(key, 8);
		else if (cmp == 0)
			cmp = c->before_n < n ? -1 : c->before_n > n;
		if (cmp > 0 || (cmp == 0 && !c->may_equal))
			return err_set(c->err, "its keys are out of order");
	}
	memcpy(c->before, key, n);
	c->before_n = n;
	c->has_before = true;
	c->may_equal = !leaf;
	return 0;
}

/* What a leaf's entry points at, or holds. */
static int
check_value(struct check *c, const unsigned char *node, enum tree tree, struct counts *counts)
{
	size_t key = number(node + 6, 2), data = number(node, 4);
	unsigned flags = (unsigned)number(node + 4, 2);
	const unsigned char *value = node + NODE_HEAD + key;
	if ((flags & ~(unsigned)(F_BIGDATA | F_SUBDATA)) != 0 ||
		(flags == F_SUBDATA) != (tree == TREE_MAIN) || key == 0)
		return err_set(c->err, "an entry is not what it should be");
	if (flags == F_BIGDATA)
		return check_overflow(c, value, data, tree, counts);
	if (tree == TREE_FREE)
		return check_free(c, value, data);
	if (tree == TREE_SPACE)
		return 0;
	if (data != DB_BYTES)
		return err_set(c->err, "an entry is not what it should be");
	struct check inner = *c; /* with an order of its own */
	return walk(&inner, value, TREE_SPACE);
}

static int
by_number(const void *a, const void *b)
{
	const uint16_t *x = a, *y = b;
	return *x - *y;
}

/* Bytes of an entry within its page, even; 0: it does not fit. */
static size_t
entry_bytes(const struct check *c, const unsigned char *page, size_t at, bool leaf)
{
	size_t most = (c->page_bytes - PAGE_HEAD) / 2 / 2 * 2 - 2; /* two fit on any page */
	if (at % 2 != 0 || at + NODE_HEAD > c->page_bytes)
		return 0;
	const unsigned char *node = page + at;
	size_t key = number(node + 6, 2), n = NODE_HEAD + key;
	if (leaf)
		n += number(node + 4, 2) == F_BIGDATA ? 8 : number(node, 4);
	if (key > MDB_KEY_MOST || n > most || n > c->page_bytes - at)
		return 0;
	return n + n % 2;
}

/* Entries lie from `high` to the end, without a gap: LMDB moves them about as if they did. */
static int
check_places(const struct check *c, const unsigned char *page, size_t n, size_t high, bool leaf)
{
	uint16_t *places = mem_array(n, sizeof(*places));
	size_t at = high;
	for (size_t i = 0; i < n; i++)
		places[i] = (uint16_t)number(page + PAGE_HEAD + 2 * i, 2);
	qsort(places, n, sizeof(*places), by_number);
	bool fit = true;
	for (size_t i = 0; i < n && fit; i++) {
		size_t bytes = entry_bytes(c, page, places[i], leaf);
		fit = bytes != 0 && places[i] == at;
		at += bytes;
	}
	mem_free(places);
	return fit && at == c->page_bytes ? 0
					  : err_set(c->err, "entries do not fit their page");
}

static int
check_page(
	struct check *c, uint64_t page, unsigned depth, enum tree tree, struct counts *counts)
{
	if (reach(c, page, 1) < 0)
		return -1;
	unsigned char *p = mem_new(c->page_bytes);
	bool leaf = depth == 1;
	int result = read_at(c->fd, p, c->page_bytes, page * c->page_bytes, c->err);
	size_t low = number(p + 12, 2), high = number(p + 14, 2), n = (low - PAGE_HEAD) / 2;
	if (result == 0 &&
		(number(p, 8) != page || number(p + 10, 2) != (leaf ? P_LEAF : P_BRANCH) ||
			low < PAGE_HEAD || low % 2 != 0 || low > high || high > c->page_bytes ||
			n < (leaf ? 1 : 2)))
		result = err_set(c->err, "a page is not what it should be");
	if (result == 0)
		result = check_places(c, p, n, high, leaf);
	for (size_t i = 0; i < n && result == 0; i++) {
		const unsigned char *node = p + number(p + PAGE_HEAD + 2 * i, 2);
		if (leaf || i > 0) /* the first key of a branch says nothing */
			result = check_order(c, node, tree, leaf);
		if (result == 0)
			result = leaf ? check_value(c, node, tree, counts)
				      : check_page(c, number(node, 6), depth - 1, tree, counts);
	}
	counts->leaves += leaf;
	counts->branches += !leaf;
	counts->entries += leaf ? n : 0;
	mem_free(p);
	return result;
}

/* db: 48 bytes as they stand in the file: flags, depth, pages, entries and root. */
static int
walk(struct check *c, const unsigned char *db, enum tree tree)
{
	uint64_t depth = number(db + 6, 2), root = number(db + 40, 8);
	struct counts said = {
		number(db + 8, 8), number(db + 16, 8), number(db + 24, 8), number(db + 32, 8)};
	struct counts found = {0};
	if (number(db + 4, 2) != (tree == TREE_FREE ? FREE_FLAGS : 0))
		return err_set(c->err, "a tree is not of our kind");
	if (depth > DEPTH_MOST || (depth == 0) != (root == no_page))
		return err_set(c->err, "a tree is not as deep as it says");
	c->has_before = false;
	if (depth != 0 && check_page(c, root, (unsigned)depth, tree, &found) < 0)
		return -1;
	return memcmp(&said, &found, sizeof(said)) == 0 ? 0
							: err_set(c->err, "it counts wrongly");
}

static bool
is_meta(const unsigned char *p)
{
	const unsigned char *meta = p + PAGE_HEAD;
	uint64_t bytes = number(meta + META_DBS, 4);
	return number(p + 10, 2) == P_META && number(meta, 2) == META_MAGIC_LOW &&
	       number(meta + 2, 2) == META_MAGIC_HIGH && number(meta + 4, 4) == META_VERSION &&
	       bytes >= PAGE_LEAST && bytes <= PAGE_MOST && (bytes & (bytes - 1)) == 0;
}

/* The one of the two that the last transaction has written, in `meta`. */
static int
read_meta(struct check *c, uint64_t file_bytes, unsigned char meta[PAGE_LEAST])
{
	unsigned char other[PAGE_LEAST];
	if (read_at(c->fd, meta, PAGE_LEAST, 0, c->err) < 0)
		return -1;
	if (!is_meta(meta))
		return err_set(c->err, "it does not begin as LMDB's files do");
	c->page_bytes = number(meta + PAGE_HEAD + META_DBS, 4);
	c->pages = file_bytes / c->page_bytes;
	if (read_at(c->fd, other, PAGE_LEAST, c->page_bytes, c->err) < 0)
		return -1;
	if (!is_meta(other) || number(other + PAGE_HEAD + META_DBS, 4) != c->page_bytes)
		return err_set(c->err, "its second page is wrong");
	if (number(other + PAGE_HEAD + META_TXN, 8) > number(meta + PAGE_HEAD + META_TXN, 8))
		memcpy(meta, other, PAGE_LEAST);
	return 0;
}

static int
check_pages(struct check *c, uint64_t file_bytes)
{
	unsigned char meta[PAGE_LEAST];
	if (read_meta(c, file_bytes, meta) < 0)
		return -1;
	const unsigned char *dbs = meta + PAGE_HEAD + META_DBS;
	c->last = number(meta + PAGE_HEAD + META_LAST, 8);
	if (c->last > PAGES_MOST)
		return err_set(c->err, "it counts wrongly");
	c->seen = mem_new(c->pages / 8 + 1);
	int result = reach(c, 0, 2);
	if (result == 0)
		result = walk(c, dbs, TREE_FREE);
	if (result == 0)
		result = walk(c, dbs + DB_BYTES, TREE_MAIN);
	mem_free(c->seen);
	return result;
}

int
check_file(int dir_fd, const char *name, struct err *err)
{
	struct stat st;
	struct check c = {.err = err};
	c.fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (c.fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, "open it");
	int result = 0;
	if (fstat(c.fd, &st) < 0)
		result = err_sys(err, "look at it");
	else if (!S_ISREG(st.st_mode))
		result = err_set(err, "it is no file");
	else if (st.st_size > 0)
		result = check_pages(&c, (uint64_t)st.st_size) == 0 ? 1 : -1;
	close(c.fd);
	return result;
}
