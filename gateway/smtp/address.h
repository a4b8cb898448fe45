/*
 * Mailbox addresses and SMTP paths (RFC 5321 4.1.2, 6531; SRV-07). One parser for the envelope;
 * the header's parser (filters/message) calls the same functions for local part and domain.
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "base/arena.h"
#include "base/slice.h"

/* Bytes: RFC 5321 4.5.3.1; a name of the DNS has 253 (255 on the wire). */
enum { ADDRESS_LOCAL_MOST = 64, ADDRESS_DOMAIN_MOST = 253, ADDRESS_PATH_MOST = 254 };

struct address {
	struct slice local; /* unquoted, case kept: what is compared and looked up */
	struct slice
		domain; /* A-labels in lower case, or a literal "[192.0.2.1]"; empty in "<>" */
	struct slice text; /* canonical "local@domain", quoted where it must be; "" for "<>" */
	struct slice raw;  /* local@domain as it came, source route dropped: what is sent on */
	bool utf8;         /* needs SMTPUTF8 to be sent on */
	bool is_null;      /* "<>" */
};

enum address_error {
	ADDRESS_OK,
	ADDRESS_SYNTAX,    /* 501 5.1.7 or 5.1.3 */
	ADDRESS_TOO_LONG,  /* 501 5.1.7 or 5.1.3 */
	ADDRESS_FORBIDDEN, /* a control character, or $ ` { | } outside quotes (SRV-07) */
	ADDRESS_UTF8,      /* 8-bit without SMTPUTF8: 553 5.6.7 */
	ADDRESS_DOMAIN,    /* a domain that no DNS name can be */
};

/*
 * Parses a path at the front of in: "<...>" or, as sloppy clients send it, a bare address
 * (never taken for "<>"). *rest_out is what follows: nothing, or from a space on. reverse: "<>"
 * is allowed; else "<postmaster>" is (its domain is then empty). Results live in the arena,
 * which needs room for 2 KiB.
 */
enum address_error address_parse_path(struct slice in, bool reverse, bool smtputf8,
	struct arena *a, struct address *address_out, struct slice *rest_out);
/* "local@domain" and nothing else, as in configurations and headers. */
enum address_error
address_parse(struct slice in, bool smtputf8, struct arena *a, struct address *address_out);
/* From a local part without quotes and a domain as struct address has them; raw is canonical.
 */
enum address_error address_make(
	struct slice local, struct slice domain, struct arena *a, struct address *address_out);
const char *address_error_text(enum address_error e);

/* A domain name or address literal, as in EHLO (4.1.1.1) or behind '@'. */
bool domain_parse(struct slice in, bool smtputf8, bool literal_ok, struct arena *a,
	struct slice *alabel_out);
/* U-labels to A-labels, lower case (IDNA 2008, libidn2). False: not a domain. */
bool domain_to_ascii(struct slice in, struct arena *a, struct slice *out);
/* name is domain, or below it; both A-labels in lower case. */
bool domain_is_below(struct slice name, struct slice domain);

#endif
