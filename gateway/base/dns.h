/*
 * DNS as values: what was asked, what was answered, and the decoder of an answer's packet
 * (RFC 1035 4.1, bounded, no recursion). No I/O here: gateway/io asks, filters only read.
 *
 * Names are text without the final dot, as they came on the wire with bytes outside printable
 * ASCII, '.', '\' and '"' inside a label written \DDD; at most 253 octets are ever asked. The
 * root is the empty name (RFC 7505: a null MX).
 */
#ifndef BASE_DNS_H
#define BASE_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/slice.h"

enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_TLSA = 52
};

enum dns_status {
	DNS_OK,       /* at least one record of the type asked for */
	DNS_NODATA,   /* the name is there, the type is not */
	DNS_NXDOMAIN, /* the name is not there (RFC 8020) */
	DNS_FAIL,     /* SERVFAIL, time-out, malformed, name too long: try again later */
	DNS_BOGUS,    /* DNSSEC says forged: as DNS_FAIL, told apart in logs */
};

struct dns_rr {
	uint16_t preference; /* MX */
	struct ip ip;        /* A, AAAA */
	struct slice text;   /* TXT: its strings joined; MX, PTR: the name; TLSA: the rdata */
};

struct dns_answer {
	enum dns_status status;
	bool secure;  /* validated by DNSSEC */
	uint32_t ttl; /* the smallest on the way, in seconds */
	size_t n;
	struct dns_rr *rr;
};

enum { DNS_RR_MOST = 256 }; /* records taken from one answer; the rest is passed over */
enum { DNS_ARENA_BYTES = 512 * 1024 }; /* what one answer can take at the very most */

/*
 * Decodes the answer section for `type`, following CNAMEs from `name` (at most 16). Everything
 * is copied into the arena. A packet that is not well formed becomes DNS_FAIL; status DNS_BOGUS
 * and `secure` are the asker's to set. Never fails.
 */
void dns_decode(struct slice packet, struct slice name, enum dns_type type, struct arena *a,
	struct dns_answer *answer_out);
const char *dns_type_text(enum dns_type type);       /* "TXT" */
const char *dns_status_text(enum dns_status status); /* "nxdomain" */
/* A name that may be asked: 1 to 253 octets, labels of 1 to 63, one final dot allowed. */
bool dns_name_ok(struct slice name);

enum { DNS_WIRE_BYTES = 255, DNS_TEXT_BYTES = 4 * DNS_WIRE_BYTES + 1 };

/* A name as on the wire, uncompressed, with the root's zero byte. */
struct dns_wire {
	uint8_t bytes[DNS_WIRE_BYTES];
	uint8_t n;
};

/* False: not dns_name_ok. \DDD is one octet; a backslash without three digits stands for
 * itself. */
bool dns_name_to_wire(struct slice name, struct dns_wire *wire_out);
/* The name at offset `at` of a packet, compression followed backwards only (RFC 1035 4.1.4).
 * *end_out: behind it. False: not well formed. */
bool dns_wire_read(struct slice packet, size_t at, struct dns_wire *wire_out, size_t *end_out);
bool
dns_wire_eq(const struct dns_wire *a, const struct dns_wire *b); /* ASCII case is the same */
struct slice dns_wire_text(const struct dns_wire *wire, char buf[DNS_TEXT_BYTES]);

#endif
