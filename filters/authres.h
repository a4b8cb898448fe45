/*
 * Authentication-Results (RFC 8601): the one field that we add (AUT-07), and which fields of an
 * incoming mail claim to be ours and must go (HDR-04). What comes from a stranger is quoted or
 * left out, so that no value can end its property, the line or the field (HDR-05).
 */
#ifndef FILTERS_AUTHRES_H
#define FILTERS_AUTHRES_H

#include "base/arena.h"
#include "filters/facts.h"
#include "filters/message.h"

enum { AUTHRES_PROPERTIES_MOST = 4, AUTHRES_VALUE_MOST = 255 };

struct authres_result {
	const char *method;  /* "dkim" */
	const char *result;  /* "pass" */
	struct slice reason; /* words for reason="", or empty */
	struct {
		const char *name;   /* "header.d" */
		struct slice value; /* any bytes; cut at AUTHRES_VALUE_MOST */
	} property[AUTHRES_PROPERTIES_MOST];
	size_t n;
};

/* "Authentication-Results: ID; ...CRLF"; without results "ID; none". */
struct slice authres_field(struct slice authserv_id, const struct authres_result *results,
	size_t n, struct arena *a);

/*
 * The field of this mail: what was found out by auth, iprev, spf, dkim and dmarc, as far as the
 * rules of the policy ask for it. False: look-ups are open (cheap ones are asked here); answer
 * them and call again. For the mail stage STAGE_BODY.
 */
bool authres_of_mail(struct facts *f, const struct policy *policy,
	const struct flt_session *session, const struct flt_mail *mail,
	struct slice authserv_id, struct arena *a, struct slice *field_out);

/* Whether the value of an Authentication-Results field carries our identifier, however spelt.
 */
bool authres_is_ours(struct slice value, struct slice authserv_id, struct arena *a);
/* The places in m->fields that must be removed, in order; the array lives in the arena. */
size_t authres_forged(const struct message *m, struct slice authserv_id, struct arena *a,
	size_t **places_out);

#endif
