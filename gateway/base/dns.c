/*
 * The decoder of DNS answers (RFC 1035 4.1): hostile input, since the sender of a mail chooses
 * the zone that answers. One pass checks the whole answer section; then CNAMEs are followed by
 * name, in whatever order they came. What is not well formed is DNS_FAIL, never half an answer.
 */
#include "base/dns.h"

#include <string.h>

enum {
	HEADER_BYTES = 12,
	RR_FIXED_BYTES = 10,
	CHAIN_MOST = 16,
	RECORDS_MOST = 1024,
	CLASS_IN = 1,
	TYPE_SOA = 6
};
enum { RCODE_NOERROR = 0, RCODE_NXDOMAIN = 3 };

/* One record of a packet, where it stands. */
struct rr {
	struct dns_wire owner;
	unsigned type, class;
	uint32_t ttl;
	size_t rdata, rdata_bytes;
};

struct packet {
	struct slice bytes;
	size_t answers, authorities; /* counts */
	size_t answer_at;            /* where the answer section begins */
	size_t authority_at;         /* set once the answer section was walked */
};

static unsigned
get16(struct slice s, size_t at)
{
	return (unsigned)(uint8_t)s.p[at] << 8 | (uint8_t)s.p[at + 1];
}

static uint32_t
get32(struct slice s, size_t at)
{
	return (uint32_t)get16(s, at) << 16 | get16(s, at + 2);
}

/* The record at *at, which moves behind it. */
static bool
rr_read(struct slice p, size_t *at, struct rr *rr_out)
{
	size_t end;
	if (!dns_wire_read(p, *at, &rr_out->owner, &end) || p.n - end < RR_FIXED_BYTES)
		return false;
	rr_out->type = get16(p, end);
	rr_out->class = get16(p, end + 2);
	rr_out->ttl = get32(p, end + 4);
	if (rr_out->ttl > INT32_MAX) /* RFC 2181 8 */
		rr_out->ttl = 0;
	rr_out->rdata_bytes = get16(p, end + 8);
	rr_out->rdata = end + RR_FIXED_BYTES;
	if (rr_out->rdata_bytes > p.n - rr_out->rdata)
		return false;
	*at = rr_out->rdata + rr_out->rdata_bytes;
	return true;
}

/* A name that fills the rdata from `skip` on. */
static bool
rdata_name(struct slice p, const struct rr *rr, size_t skip, struct dns_wire *wire_out)
{
	size_t end;
	return rr->rdata_bytes > skip && dns_wire_read(p, rr->rdata + skip, wire_out, &end) &&
	       end == rr->rdata + rr->rdata_bytes;
}

/* RFC 1035 3.3.14: one or more strings of up to 255 octets; a record of none is taken as empty.
 */
static bool
rdata_strings(struct slice rdata, struct arena *a, struct slice *text_out)
{
	char *to = arena_alloc(a, rdata.n + 1);
	size_t n = 0;
	for (size_t at = 0; at < rdata.n;) {
		size_t bytes = (uint8_t)rdata.p[at++];
		if (bytes > rdata.n - at)
			return false;
		memcpy(to + n, rdata.p + at, bytes);
		n += bytes;
		at += bytes;
	}
	*text_out = (struct slice){to, n};
	return true;
}

static bool
rdata_ip(struct slice rdata, uint8_t family, struct ip *ip_out)
{
	if (rdata.n != (family == 4 ? 4U : 16U))
		return false;
	ip_out->family = family;
	memcpy(ip_out->bytes, rdata.p, rdata.n);
	return true;
}

static bool
rdata_target(struct slice p, const struct rr *rr, size_t skip, struct arena *a,
	struct slice *text_out)
{
	struct dns_wire name;
	char text[DNS_TEXT_BYTES];
	if (!rdata_name(p, rr, skip, &name))
		return false;
	struct slice made = dns_wire_text(&name, text);
	/* Names compare without case; compressed ones bear the random case of our question. */
	for (size_t i = 0; i < made.n; i++)
		text[i] = ascii_lower(text[i]);
	*text_out = arena_slice(a, made);
	return true;
}

static bool
rr_decode(struct slice p, const struct rr *rr, struct arena *a, struct dns_rr *out)
{
	struct slice rdata = {p.p + rr->rdata, rr->rdata_bytes};
	*out = (struct dns_rr){0};
	switch (rr->type) {
	case DNS_A: return rdata_ip(rdata, 4, &out->ip);
	case DNS_AAAA: return rdata_ip(rdata, 6, &out->ip);
	case DNS_TXT: return rdata_strings(rdata, a, &out->text);
	case DNS_CNAME:
	case DNS_PTR: return rdata_target(p, rr, 0, a, &out->text);
	case DNS_MX:
		if (rdata.n < 2)
			return false;
		out->preference = (uint16_t)get16(rdata, 0);
		return rdata_target(p, rr, 2, a, &out->text);
	default: out->text = arena_slice(a, rdata); return true;
	}
}

/* The header is an answer's, and the question section is passed over. */
static bool
packet_open(struct slice bytes, struct packet *p_out)
{
	*p_out = (struct packet){.bytes = bytes};
	if (bytes.n < HEADER_BYTES || (bytes.p[2] & 0x80) == 0)
		return false;
	size_t questions = get16(bytes, 4), at = HEADER_BYTES;
	for (; questions > 0; questions--) {
		struct dns_wire name;
		if (!dns_wire_read(bytes, at, &name, &at) || bytes.n - at < 4)
			return false;
		at += 4;
	}
	p_out->answers = get16(bytes, 6);
	if (p_out->answers > RECORDS_MOST) /* bounds the work: each CNAME is one more pass */
		return false;
	p_out->authorities = get16(bytes, 8);
	p_out->answer_at = at;
	for (size_t i = 0; i < p_out->answers; i++) {
		struct rr rr;
		if (!rr_read(bytes, &at, &rr))
			return false;
	}
	p_out->authority_at = at;
	return true;
}

/* What one pass over the answer section finds for one name. */
struct found {
	bool wrong; /* a record that is not well formed */
	bool alias; /* a CNAME, to target */
	struct dns_wire target;
	uint32_t alias_ttl;
};

static void
answer_add(const struct packet *p, const struct rr *rr, struct arena *a,
	struct dns_answer *answer, struct found *f)
{
	if (answer->n == DNS_RR_MOST)
		return;
	if (answer->rr == NULL)
		answer->rr = arena_array(a, p->answers < DNS_RR_MOST ? p->answers : DNS_RR_MOST,
			sizeof(struct dns_rr));
	if (!rr_decode(p->bytes, rr, a, &answer->rr[answer->n])) {
		f->wrong = true;
		return;
	}
	answer->n++;
	if (rr->ttl < answer->ttl)
		answer->ttl = rr->ttl;
}

static void
answer_pass(const struct packet *p, const struct dns_wire *name, unsigned type, struct arena *a,
	struct dns_answer *answer, struct found *f)
{
	size_t at = p->answer_at;
	*f = (struct found){0};
	for (size_t i = 0; i < p->answers && !f->wrong; i++) {
		struct rr rr;
		if (!rr_read(p->bytes, &at, &rr)) {
			f->wrong = true;
			return;
		}
		if (rr.class != CLASS_IN || !dns_wire_eq(&rr.owner, name))
			continue;
		if (rr.type == type)
			answer_add(p, &rr, a, answer, f);
		else if (rr.type == DNS_CNAME && !f->alias) {
			f->wrong = !rdata_name(p->bytes, &rr, 0, &f->target);
			f->alias = true;
			f->alias_ttl = rr.ttl;
		}
	}
}

/* How long "no" may be kept (RFC 2308 5): the SOA's own TTL or its minimum, the smaller. */
static uint32_t
negative_ttl(const struct packet *p)
{
	size_t at = p->authority_at, end;
	for (size_t i = 0; i < p->authorities; i++) {
		struct rr rr;
		struct dns_wire name;
		if (!rr_read(p->bytes, &at, &rr))
			return 0;
		if (rr.type != TYPE_SOA || rr.class != CLASS_IN)
			continue;
		/* Two names, then serial, refresh, retry, expire, minimum. */
		if (!dns_wire_read(p->bytes, rr.rdata, &name, &end) ||
			!dns_wire_read(p->bytes, end, &name, &end) ||
			end + 20 != rr.rdata + rr.rdata_bytes)
			return 0;
		uint32_t minimum = get32(p->bytes, end + 16);
		return minimum < rr.ttl ? minimum : rr.ttl;
	}
	return 0;
}

static void
answer_fail(struct dns_answer *answer)
{
	*answer = (struct dns_answer){.status = DNS_FAIL};
}

void
dns_decode(struct slice packet, struct slice name, enum dns_type type, struct arena *a,
	struct dns_answer *answer_out)
{
	struct packet p;
	struct dns_wire owner;
	answer_fail(answer_out);
	if (!packet_open(packet, &p) || !dns_name_to_wire(name, &owner))
		return;
	unsigned rcode = (unsigned)packet.p[3] & 0x0f;
	if (rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN)
		return;
	answer_out->ttl = INT32_MAX;
	struct found f = {.alias = true};
	for (int hop = 0; f.alias && answer_out->n == 0; hop++) {
		answer_pass(&p, &owner, type, a, answer_out, &f);
		if (f.wrong || hop > CHAIN_MOST) {
			answer_fail(answer_out);
			return;
		}
		if (f.alias) {
			owner = f.target;
			if (f.alias_ttl < answer_out->ttl)
				answer_out->ttl = f.alias_ttl;
		}
	}
	if (answer_out->n != 0) {
		answer_out->status = DNS_OK;
		return;
	}
	uint32_t ttl = negative_ttl(&p);
	answer_out->status = rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
	answer_out->ttl = ttl < answer_out->ttl ? ttl : answer_out->ttl;
}

const char *
dns_type_text(enum dns_type type)
{
	switch (type) {
	case DNS_A: return "A";
	case DNS_CNAME: return "CNAME";
	case DNS_PTR: return "PTR";
	case DNS_MX: return "MX";
	case DNS_TXT: return "TXT";
	case DNS_AAAA: return "AAAA";
	case DNS_TLSA: return "TLSA";
	}
	return "?";
}

const char *
dns_status_text(enum dns_status status)
{
	switch (status) {
	case DNS_OK: return "ok";
	case DNS_NODATA: return "nodata";
	case DNS_NXDOMAIN: return "nxdomain";
	case DNS_FAIL: return "fail";
	case DNS_BOGUS: return "bogus";
	}
	return "?";
}
