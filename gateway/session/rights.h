/*
 * What a client may send as (OUT-13): an account its own addresses, a network without one what
 * `network ... sends as` says. Held against MAIL FROM and, when the header is there, against
 * From and Sender. Both fronts ask here. Mail of others is judged by the rules alone.
 */
#ifndef SESSION_RIGHTS_H
#define SESSION_RIGHTS_H

#include "filters/filter.h"
#include "smtp/reply.h"

/* Whether any mail of such a listener is held to rights: else nobody need be asked. */
bool rights_are_named(const struct conf *c, enum listen_kind kind);
/*
 * The reverse-path; "<>" is everybody's. Code 0: it may be. s: who the client is by now.
 */
struct smtp_reply rights_envelope(const struct conf *c, enum listen_kind kind,
	const struct flt_session *s, const struct address *sender);
/*
 * Every author in From, and who is named as the sender of their mail. What another program may
 * read otherwise is nobody's, even where the listener's rules about headers are off. m: NULL:
 * there is no header to hold against it. The arena is the mail's.
 */
struct smtp_reply rights_author(const struct conf *c, enum listen_kind kind,
	const struct flt_session *s, const struct flt_mail *mail, struct arena *a);

#endif
