/* Inside the SPF engine: terms of a record, macros. */
#ifndef FILTERS_SPF_PRIV_H
#define FILTERS_SPF_PRIV_H

#include "base/buf.h"
#include "filters/spf.h"

enum spf_kind {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_A,
	SPF_MX,
	SPF_PTR,
	SPF_IP4,
	SPF_IP6,
	SPF_EXISTS,
	SPF_REDIRECT,
	SPF_EXP,
	SPF_UNKNOWN_MODIFIER,
};

struct spf_term {
	enum spf_kind kind;
	enum spf_result result; /* of its qualifier */
	struct slice text;      /* as written */
	struct slice spec;      /* domain-spec, empty: not given */
	struct ip_net
		net; /* ip4, ip6; ip.family 0: an IPv4-mapped network, which matches none */
	uint8_t prefix4, prefix6; /* a, mx */
};

/* Whether a TXT record is an SPF record: "v=spf1" and a space or nothing behind it (4.5). */
bool spf_is_record(struct slice txt);
/*
 * The next term behind the version, cut off *rest. False: at the end, or a term that is no term
 * by section 12's grammar; *problem_out is set in the second case.
 */
bool spf_term_next(struct slice *rest, struct spf_term *term_out, const char **problem_out);

/* Macro strings by the grammar of 7.1; exp: with spaces and the letters c, r, t. */
bool spf_macro_ok(struct slice s, bool exp);
/* A macro string that ends in a top label or a macro: a domain-spec. */
bool spf_domain_spec_ok(struct slice s);

struct spf_macros {
	const struct spf_request *request;
	struct slice domain; /* %{d} */
	struct slice ptr;    /* %{p}, found before where spf_macro_uses_ptr */
};
bool spf_macro_uses_ptr(struct slice s);
/* Expands what spf_macro_ok said is good. False: longer than the buffer may be. */
bool spf_macro_expand(const struct spf_macros *m, struct slice s, struct buf *out);

#endif
