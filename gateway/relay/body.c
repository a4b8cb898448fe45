/*
 * The pieces of a mail on its way out; see body.h. Nothing is copied: the header lines that we
 * add, the header without what was cut, the body in memory, the rest in the spill file.
 */
#include "relay/body.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"

enum { ROOM_FIRST = 8 };

void
relay_body_init(struct relay_body *b, struct arena *a)
{
	*b = (struct relay_body){.arena = a};
}

/* A free place in front of parts[at]; NULL: too many. */
static struct relay_part *
insert_part(struct relay_body *b, size_t at)
{
	if (b->n == RELAY_PARTS_MOST)
		return NULL;
	if (b->n == b->room) {
		size_t room = b->room != 0 ? b->room * 2 : ROOM_FIRST;
		struct relay_part *parts = arena_array(b->arena, room, sizeof(*parts));
		if (b->n > 0)
			memcpy(parts, b->parts, b->n * sizeof(*parts));
		b->parts = parts;
		b->room = room;
	}
	memmove(b->parts + at + 1, b->parts + at, (b->n - at) * sizeof(*b->parts));
	b->n++;
	return &b->parts[at];
}

static int
insert_bytes(struct relay_body *b, size_t at, struct slice bytes)
{
	if (bytes.n == 0)
		return 0;
	struct relay_part *p = insert_part(b, at);
	if (p == NULL)
		return -1;
	*p = (struct relay_part){.bytes = bytes, .fd = -1, .length = bytes.n};
	b->bytes += bytes.n;
	return 0;
}

int
relay_body_add(struct relay_body *b, struct slice bytes)
{
	return insert_bytes(b, b->n, bytes);
}

int
relay_body_prefix(struct relay_body *b, struct slice bytes)
{
	return insert_bytes(b, 0, bytes);
}

int
relay_body_add_file(struct relay_body *b, int fd, uint64_t offset, uint64_t length)
{
	if (length == 0)
		return 0;
	struct relay_part *p = insert_part(b, b->n);
	if (p == NULL)
		return -1;
	*p = (struct relay_part){.fd = fd, .offset = offset, .length = length};
	b->bytes += length;
	return 0;
}

/* What stands behind the first n bytes of a part. */
static struct relay_part
part_from(struct relay_part p, uint64_t n)
{
	if (p.fd < 0)
		p.bytes = slice_from(p.bytes, (size_t)n);
	else
		p.offset += n;
	p.length -= n;
	return p;
}

static struct relay_part
part_first(struct relay_part p, uint64_t n)
{
	if (p.fd < 0)
		p.bytes = slice_first(p.bytes, (size_t)n);
	p.length = n;
	return p;
}

/* Divides a part so that one begins at `offset`; *at_out is its place. */
static int
divide_at(struct relay_body *b, uint64_t offset, size_t *at_out)
{
	size_t i = 0;
	while (i < b->n && offset >= b->parts[i].length)
		offset -= b->parts[i++].length;
	*at_out = i;
	if (offset == 0)
		return 0;
	must(i < b->n);
	if (insert_part(b, i) == NULL)
		return -1;
	b->parts[i] = part_first(b->parts[i + 1], offset);
	b->parts[i + 1] = part_from(b->parts[i + 1], offset);
	*at_out = i + 1;
	return 0;
}

int
relay_body_cut(struct relay_body *b, uint64_t offset, uint64_t length)
{
	must(offset <= b->bytes && length <= b->bytes - offset);
	size_t first, end;
	if (divide_at(b, offset, &first) < 0 || divide_at(b, offset + length, &end) < 0)
		return -1;
	memmove(b->parts + first, b->parts + end, (b->n - end) * sizeof(*b->parts));
	b->n -= end - first;
	b->bytes -= length;
	return 0;
}

int
relay_body_add_all(struct relay_body *b, const struct relay_body *other)
{
	int result = 0;
	for (size_t i = 0; i < other->n && result == 0; i++) {
		const struct relay_part *p = &other->parts[i];
		result = p->fd < 0 ? relay_body_add(b, p->bytes)
				   : relay_body_add_file(b, p->fd, p->offset, p->length);
	}
	return result;
}

int
relay_body_insert(struct relay_body *b, uint64_t offset, struct slice bytes)
{
	size_t at;
	must(offset <= b->bytes);
	return bytes.n == 0                    ? 0
	       : divide_at(b, offset, &at) < 0 ? -1
					       : insert_bytes(b, at, bytes);
}

void
relay_reader_init(struct relay_reader *r, const struct relay_body *b)
{
	*r = (struct relay_reader){.body = b};
}

static int
read_file(const struct relay_part *p, uint64_t at, size_t most, struct buf *scratch,
	struct slice *piece_out, struct err *err)
{
	buf_consume(scratch, scratch->used);
	char *to = buf_reserve(scratch, most);
	must(to != NULL);
	ssize_t n;
	do
		n = pread(p->fd, to, most, (off_t)(p->offset + at));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, "read the mail from its spill file");
	if (n == 0)
		return err_set(err, "the spill file is shorter than the mail");
	buf_commit(scratch, (size_t)n);
	*piece_out = buf_slice(scratch);
	return 0;
}

int
relay_reader_next(struct relay_reader *r, size_t most, struct buf *scratch,
	struct slice *piece_out, struct err *err)
{
	*piece_out = SLICE_NONE;
	if (r->part == r->body->n || most == 0)
		return 0;
	const struct relay_part *p = &r->body->parts[r->part];
	uint64_t left = p->length - r->at;
	if (most > left)
		most = (size_t)left;
	if (p->fd < 0)
		*piece_out = slice_first(slice_from(p->bytes, (size_t)r->at), most);
	else if (read_file(p, r->at, most < scratch->max ? most : scratch->max, scratch,
			 piece_out, err) < 0)
		return -1;
	r->at += piece_out->n;
	if (r->at == p->length) {
		r->part++;
		r->at = 0;
	}
	return 0;
}
