/* `table NAME ldap ...` and `table NAME sql ...`, for tables.c: what stands behind the word. */
#ifndef CONF_TABLE_DIRECTORY_H
#define CONF_TABLE_DIRECTORY_H

#include "conf/parse_priv.h"

bool table_ldap(struct parser *p, struct conf_table *t);
bool table_sql(struct parser *p, struct conf_table *t);

#endif
