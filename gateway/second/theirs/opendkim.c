/*
 * libopendkim, asked once for one mail. The header is cut here, so that a signature it finds
 * malformed is told apart and kept from it (it would refuse the whole mail), and so that it
 * sees no more signatures than we verify; rsa-sha1, which it takes, is refused (RFC 8301).
 * Keys come with the request; it never asks the DNS.
 */
#include "theirs/opendkim.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <opendkim/dkim.h>

#include "base/mem.h"
#include "filters/engine_opendkim.h"

enum { KEY_BITS_LEAST = 1024, NAME_MOST = 600, PIECE_BYTES = 1024 * 1024 };

/*
 * The library has only the system's clock, so that it is let to say little of times (is_timely
 * does). It subtracts: more than t= would be below zero.
 */
static const uint64_t no_clock_s = UINT64_C(10) * 366 * 24 * 3600;

struct opendkim {
	DKIM_LIB *lib;
};

struct run { /* of one mail */
	const struct engine_opendkim_request *request;
	enum dkim_result results[DKIM_SIGNATURES_MOST];
	size_t n;                           /* signatures in the header, at most that */
	size_t given[DKIM_SIGNATURES_MOST]; /* which of them the library has, in its order */
	size_t n_given;
};

static DKIM_CBSTAT
look_up(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t room)
{
	const struct run *run = dkim_get_user_context(dkim);
	char name[NAME_MOST];
	int n = snprintf(name, sizeof(name), "%s._domainkey.%s", dkim_sig_getselector(sig),
		dkim_sig_getdomain(sig));
	if (n < 0 || (size_t)n >= sizeof(name))
		return DKIM_CBSTAT_NOTFOUND;
	for (size_t i = 0; i < run->request->n; i++) {
		const struct engine_opendkim_key *key = &run->request->keys[i];
		if (!slice_eq_nocase(key->name, slice_of(name)))
			continue;
		if (key->status == DNS_FAIL || key->status == DNS_BOGUS)
			return DKIM_CBSTAT_TRYAGAIN;
		if (key->status != DNS_OK)
			return DKIM_CBSTAT_NOTFOUND;
		if (key->text.n >= room)
			return DKIM_CBSTAT_ERROR;
		if (key->text.n > 0)
			memcpy(buf, key->text.p, key->text.n);
		buf[key->text.n] = '\0';
		return DKIM_CBSTAT_CONTINUE;
	}
	return DKIM_CBSTAT_NOTFOUND;
}

struct opendkim *
opendkim_new(struct err *err)
{
	unsigned bits = KEY_BITS_LEAST;
	uint64_t drift = no_clock_s;
	u_int flags = DKIM_LIBFLAGS_SIGNLEN;
	DKIM_LIB *lib = dkim_init(NULL, NULL);
	if (lib == NULL) {
		err_set(err, "libopendkim does not start");
		return NULL;
	}
	dkim_set_key_lookup(lib, look_up);
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &bits, sizeof(bits));
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift, sizeof(drift));
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags));
	struct opendkim *o = MEM_NEW(struct opendkim);
	o->lib = lib;
	return o;
}

void
opendkim_free(struct opendkim **o)
{
	if (*o == NULL)
		return;
	dkim_close((*o)->lib);
	mem_free(*o);
	*o = NULL;
}

/* The next field with its folds, without its last CRLF; false: the header is over. */
static bool
next_field(struct slice *rest, struct slice *field_out)
{
	size_t n = 0;
	if (rest->n == 0)
		return false;
	if (slice_starts(*rest, SLICE("\r\n"))) {
		*rest = slice_from(*rest, 2);
		return false;
	}
	do {
		size_t end = n;
		while (end < rest->n && rest->p[end] != '\n')
			end++;
		n = end < rest->n ? end + 1 : rest->n;
	} while (n < rest->n && (rest->p[n] == ' ' || rest->p[n] == '\t'));
	*field_out = slice_first(*rest, n);
	*rest = slice_from(*rest, n);
	if (slice_ends(*field_out, SLICE("\r\n")))
		field_out->n -= 2;
	return true;
}

static bool
is_signature(struct slice field, struct slice *value_out)
{
	struct slice name;
	return slice_cut(field, ':', &name, value_out) &&
	       slice_eq_nocase(slice_trim(name), SLICE("dkim-signature"));
}

/* Whether the library is to see it; what it is not to see has its result. */
static bool
take_signature(DKIM *dkim, struct run *run, struct slice value, struct arena *a)
{
	if (run->n == DKIM_SIGNATURES_MOST)
		return false;
	size_t at = run->n++;
	char *text = arena_text(a, value);
	run->results[at] = DKIM_PERMERROR;
	if (dkim_sig_syntax(dkim, (u_char *)text, value.n) != DKIM_STAT_OK)
		return false;
	run->given[run->n_given++] = at;
	return true;
}

static bool
feed_header(DKIM *dkim, struct run *run, struct slice *rest, struct arena *a)
{
	struct slice field, value;
	while (next_field(rest, &field)) {
		if (is_signature(field, &value) && !take_signature(dkim, run, value, a))
			continue;
		if (dkim_header(dkim, (u_char *)arena_text(a, field), field.n) != DKIM_STAT_OK)
			return false;
	}
	return true;
}

/* t= and x= by the time of the request. A number that is none is the library's to refuse. */
static bool
is_timely(DKIM_SIGINFO *sig, int64_t wall_s)
{
	static u_char t[] = "t", x[] = "x";
	uint64_t now = wall_s > 0 ? (uint64_t)wall_s : 0, when;
	const u_char *signed_s = dkim_sig_gettagvalue(sig, false, t);
	const u_char *expires_s = dkim_sig_gettagvalue(sig, false, x);
	if (signed_s != NULL && slice_u64(slice_of((const char *)signed_s), &when) &&
		when > now + DKIM_SKEW_S)
		return false;
	return expires_s == NULL || !slice_u64(slice_of((const char *)expires_s), &when) ||
	       when >= now;
}

/* RFC 8601 2.7.1 from the library's numbers. */
static enum dkim_result
result_of(DKIM_SIGINFO *sig, int64_t wall_s)
{
	dkim_alg_t algorithm = DKIM_SIGN_UNKNOWN;
	int error = dkim_sig_geterror(sig);
	if ((dkim_sig_getflags(sig) & DKIM_SIGFLAG_PASSED) != 0 &&
		dkim_sig_getbh(sig) == DKIM_SIGBH_MATCH) {
		if (dkim_sig_getsignalg(sig, &algorithm) != DKIM_STAT_OK ||
			algorithm == DKIM_SIGN_RSASHA1)
			return DKIM_POLICY;
		return is_timely(sig, wall_s) ? DKIM_PASS : DKIM_FAIL;
	}
	switch (error) {
	case DKIM_SIGERROR_OK:
	case DKIM_SIGERROR_BADSIG: return DKIM_FAIL;
	case DKIM_SIGERROR_KEYFAIL: return DKIM_TEMPERROR;
	case DKIM_SIGERROR_KEYTOOSMALL: return DKIM_POLICY;
	default: return DKIM_PERMERROR;
	}
}

/* The whole mail through the library; false: it failed. */
static bool
verify(DKIM *dkim, struct run *run, struct slice mail, struct arena *a)
{
	DKIM_SIGINFO **sigs = NULL;
	int n = 0;
	bool test_key = false;
	if (!feed_header(dkim, run, &mail, a))
		return false;
	DKIM_STAT status = dkim_eoh(dkim);
	for (; status == DKIM_STAT_OK && mail.n > 0; mail = slice_from(mail, PIECE_BYTES)) {
		struct slice piece = slice_first(mail, PIECE_BYTES);
		status = dkim_body(dkim, (u_char *)arena_text(a, piece), piece.n);
	}
	if (status == DKIM_STAT_OK)
		(void)dkim_eom(dkim, &test_key); /* what counts is each signature's own */
	if (run->n_given == 0)
		return true;
	if (dkim_getsiglist(dkim, &sigs, &n) != DKIM_STAT_OK || n < 0 ||
		(size_t)n != run->n_given)
		return status == DKIM_STAT_SYNTAX; /* it refuses the mail: permerror */
	for (size_t i = 0; i < run->n_given; i++)
		run->results[run->given[i]] = result_of(sigs[i], run->request->wall_s);
	return true;
}

struct slice
opendkim_run(struct opendkim *o, struct slice request, struct slice mail, struct arena *a)
{
	struct engine_opendkim_request r;
	struct run run = {.request = &r};
	DKIM_STAT status;
	if (!engine_opendkim_unpack(request, a, &r))
		return SLICE_NONE;
	DKIM *dkim = dkim_verify(o->lib, (const u_char *)"postern", NULL, &status);
	if (dkim == NULL)
		return SLICE_NONE;
	dkim_set_user_context(dkim, &run);
	bool ok = verify(dkim, &run, mail, a);
	dkim_free(dkim);
	return ok ? engine_opendkim_pack_results(run.results, run.n, a) : SLICE_NONE;
}
