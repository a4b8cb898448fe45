/*
 * What an account may send as (OUT-13): its own addresses, in the envelope and in From alike.
 * Mail without an account is judged by the rules alone.
 */
#ifndef SESSION_RIGHTS_H
#define SESSION_RIGHTS_H

#include "filters/filter.h"

/* The reverse-path; "<>" is everybody's. user: empty: no account. */
bool rights_envelope(const struct conf *c, struct slice user, const struct address *sender);
/*
 * Every author in From. One that another program may read otherwise is nobody's, even where the
 * listener's rules about headers are off. m: NULL: there is no header to hold against it.
 */
bool rights_author(const struct conf *c, struct slice user, const struct message *m);

#endif
