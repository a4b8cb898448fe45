/* Values in search filters of LDAP (RFC 4515): never a part of the filter's own syntax. */
#ifndef DIRECTORY_LDAP_FILTER_H
#define DIRECTORY_LDAP_FILTER_H

#include "base/arena.h"
#include "base/slice.h"

/* The filter with every %s replaced by the value, escaped; with a NUL behind it. */
struct slice ldap_filter(struct slice form, struct slice value, struct arena *a);

#endif
