/*
 * What is inside a message: little-endian integers of fixed size, slices with a length in
 * front. The reader believes no length that the payload does not hold, and remembers the first
 * fault.
 */
#include "base/must.h"
#include "io/ipc.h"

void
ipc_out_init(struct ipc_out *o)
{
	ipc_out_init_most(o, IPC_PAYLOAD_BYTES);
}

void
ipc_out_init_most(struct ipc_out *o, size_t most)
{
	must(most <= UINT32_MAX);
	buf_init(&o->buf, most);
	o->full = false;
}

void
ipc_out_fini(struct ipc_out *o)
{
	buf_fini(&o->buf);
}

bool
ipc_out_ok(const struct ipc_out *o, struct slice *payload_out)
{
	*payload_out = buf_slice(&o->buf);
	return !o->full;
}

static void
ipc_put(struct ipc_out *o, struct slice bytes)
{
	if (o->full || buf_add(&o->buf, bytes) < 0)
		o->full = true;
}

static void
ipc_put_integer(struct ipc_out *o, uint64_t v, size_t bytes)
{
	char le[8];
	for (size_t i = 0; i < bytes; i++)
		le[i] = (char)(v >> (8 * i) & 0xff);
	ipc_put(o, (struct slice){le, bytes});
}

void
ipc_put_u8(struct ipc_out *o, uint8_t v)
{
	ipc_put_integer(o, v, 1);
}

void
ipc_put_u16(struct ipc_out *o, uint16_t v)
{
	ipc_put_integer(o, v, 2);
}

void
ipc_put_u32(struct ipc_out *o, uint32_t v)
{
	ipc_put_integer(o, v, 4);
}

void
ipc_put_u64(struct ipc_out *o, uint64_t v)
{
	ipc_put_integer(o, v, 8);
}

void
ipc_put_bool(struct ipc_out *o, bool v)
{
	ipc_put_integer(o, v ? 1 : 0, 1);
}

void
ipc_put_slice(struct ipc_out *o, struct slice s)
{
	if (s.n > o->buf.max) { /* and its length fits */
		o->full = true;
		return;
	}
	ipc_put_integer(o, s.n, 4);
	ipc_put(o, s);
}

void
ipc_put_text(struct ipc_out *o, const char *text)
{
	ipc_put_slice(o, slice_of(text));
}

static size_t
ip_bytes(unsigned family)
{
	return family == 4 ? 4 : family == 6 ? 16 : 0;
}

void
ipc_put_ip(struct ipc_out *o, const struct ip *ip)
{
	ipc_put_u8(o, ip->family);
	ipc_put(o, (struct slice){(const char *)ip->bytes, ip_bytes(ip->family)});
}

void
ipc_in_init(struct ipc_in *in, struct slice payload)
{
	*in = (struct ipc_in){.rest = payload};
}

/* n bytes from the front, or none and bad. */
static struct slice
ipc_get(struct ipc_in *in, size_t n)
{
	if (in->bad || n > in->rest.n) {
		in->bad = true;
		return SLICE_NONE;
	}
	struct slice got = slice_first(in->rest, n);
	in->rest = slice_from(in->rest, n);
	return got;
}

static uint64_t
ipc_get_integer(struct ipc_in *in, size_t bytes)
{
	struct slice s = ipc_get(in, bytes);
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++)
		v |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
	return v;
}

uint8_t
ipc_get_u8(struct ipc_in *in)
{
	return (uint8_t)ipc_get_integer(in, 1);
}

uint16_t
ipc_get_u16(struct ipc_in *in)
{
	return (uint16_t)ipc_get_integer(in, 2);
}

uint32_t
ipc_get_u32(struct ipc_in *in)
{
	return (uint32_t)ipc_get_integer(in, 4);
}

uint64_t
ipc_get_u64(struct ipc_in *in)
{
	return ipc_get_integer(in, 8);
}

unsigned
ipc_get_enum(struct ipc_in *in, unsigned end)
{
	unsigned v = ipc_get_u8(in);
	if (v < end)
		return v;
	in->bad = true;
	return 0;
}

bool
ipc_get_bool(struct ipc_in *in)
{
	return ipc_get_enum(in, 2) != 0;
}

struct slice
ipc_get_slice(struct ipc_in *in)
{
	uint32_t n = ipc_get_u32(in);
	return ipc_get(in, n);
}

void
ipc_get_ip(struct ipc_in *in, struct ip *ip_out)
{
	*ip_out = (struct ip){0};
	unsigned family = ipc_get_u8(in);
	if (family != 0 && ip_bytes(family) == 0)
		in->bad = true;
	struct slice s = ipc_get(in, ip_bytes(family));
	if (in->bad)
		return;
	ip_out->family = (uint8_t)family;
	for (size_t i = 0; i < s.n; i++)
		ip_out->bytes[i] = (uint8_t)s.p[i];
}

uint32_t
ipc_get_count(struct ipc_in *in, uint32_t most, size_t item_bytes)
{
	uint32_t n = ipc_get_u32(in);
	must(item_bytes != 0);
	if (in->bad || n > most || n > in->rest.n / item_bytes) {
		in->bad = true;
		return 0;
	}
	return n;
}

bool
ipc_in_done(const struct ipc_in *in)
{
	return !in->bad && in->rest.n == 0;
}
