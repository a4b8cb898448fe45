"""A directory and a database to look values up in: OpenLDAP's slapd and PostgreSQL.

Both log every question that they are asked, so that a test can count them.
"""
import pathlib
import re
import signal
import subprocess

from . import proc
from .root import Root

SUFFIX = "dc=directory,dc=example"
BIND, PASSWORD = f"cn=postern,{SUFFIX}", "a secret of the laboratory"
SLAPD = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/slapd-lab.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit 10
disallow bind_anon
database mdb
suffix "{suffix}"
directory /var/lab/ldap
rootdn "cn=admin,{suffix}"
rootpw admin
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{bind}" read by * none
"""
POSTGRES = "/usr/lib/postgresql/15/bin"


class _Server:
    """What both have in common: a process in a root, a log, and ways to be away."""

    name = root = address = port = process = None
    ready = ""  # what its log says when it can be asked
    end = signal.SIGTERM

    def __init__(self):
        self.log_path = proc.LAB / f"{self.name}.log"

    def launch(self, *words):
        before = self.log().count(self.ready) if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = self.root.start(*words, stdout=log, stderr=log)
        try:
            proc.wait_port(self.address, self.port, timeout=20)
            if self.ready:
                proc.wait_until(lambda: self.log().count(self.ready) > before, self.ready, 20)
        except proc.LabError as e:
            raise proc.LabError(f"{e}\n{self.log()[-3000:]}") from None

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self):
        if self.process is not None:
            self.wake()
            self.process.send_signal(self.end)
            proc.stop(self.process, self.name, told=True)
            self.process = None

    def _signal(self, number):
        """To the server and all that it has forked."""
        below = {self.process.pid}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == self.process.pid:
                    below.add(int(entry.name))
        for pid in below:
            subprocess.run(["kill", f"-{int(number)}", str(pid)], check=False)

    def freeze(self):
        self._signal(signal.SIGSTOP)

    def wake(self):
        self._signal(signal.SIGCONT)


class Slapd(_Server):
    """slapd with people below ou=people. mails: who is there."""

    name, port = "slapd", 389

    def __init__(self, address, mails, certificate, key):
        super().__init__()
        self.root = Root.get("slapd", "slapd", "ldap-utils")
        self.address = address
        self.root.write("/etc/ldap/lab.conf", SLAPD.format(
            suffix=SUFFIX, bind=BIND, certificate=certificate, key=key))
        self.root.file("/var/lab/ldap").mkdir(parents=True)
        entries = [f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\n"
                   "dc: directory\no: Directory\n",
                   f"dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n",
                   f"dn: {BIND}\nobjectClass: organizationalRole\n"
                   "objectClass: simpleSecurityObject\ncn: postern\n"
                   f"userPassword: {PASSWORD}\n"]
        for number, mail in enumerate(mails):
            entries.append(f"dn: uid=u{number},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\n"
                           f"cn: u{number}\nsn: u{number}\nuid: u{number}\nmail: {mail}\n")
        self.root.write("/etc/ldap/lab.ldif", "\n".join(entries))
        self.root.run("slapadd", "-f", "/etc/ldap/lab.conf", "-l", "/etc/ldap/lab.ldif")

    def start(self):
        self.launch("slapd", "-d", "stats", "-f", "/etc/ldap/lab.conf", "-h",
                    f"ldap://{self.address}:{self.port}/ ldaps://{self.address}:636/")
        return self

    def questions(self):
        """The filters that were asked for, in their order."""
        return re.findall(r'SRCH base=.* filter="(.*)"', self.log())


class PostgreSQL(_Server):
    """PostgreSQL with the database "mail" and a table people(mail)."""

    end = signal.SIGINT  # without waiting for those who are connected
    name, port, ready = "postgresql", 5432, "database system is ready to accept connections"

    def __init__(self, address, mails):
        super().__init__()
        self.root = Root.get("postgresql", "postgresql-15")
        self.address = address
        self.data = "/var/lab/postgresql"
        self.root.file(self.data).mkdir(parents=True)
        self.root.run("chown", "postgres:", self.data)
        self.root.write("/var/lab/pg.password", "admin\n")
        self._as_postgres("initdb", "-D", self.data, "-A", "scram-sha-256", "-E", "UTF8",
                          "--no-sync", "--locale=C.UTF-8", "--pwfile=/var/lab/pg.password")
        with self.root.file(f"{self.data}/pg_hba.conf").open("a", encoding="ascii") as hba:
            hba.write("host all all 0.0.0.0/0 scram-sha-256\n")
        self.mails = mails

    def _as_postgres(self, program, *words, **more):
        return self.root.run("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                             f"{POSTGRES}/{program}", *words, **more)

    def sql(self, text, user="postgres", password="admin", database="mail"):
        done = self._as_postgres("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                                 f"postgresql://{user}:{password}@{self.address}/{database}",
                                 "-c", text)
        return done.stdout.strip()

    def start(self):
        self.launch("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                    f"{POSTGRES}/postgres", "-D", self.data, "-c",
                    f"listen_addresses={self.address}", "-c", "log_statement=all", "-c",
                    "unix_socket_directories=/tmp", "-c", "fsync=off")
        if self.mails is not None:
            values = ", ".join(f"('{mail}')" for mail in self.mails)
            self.sql("CREATE DATABASE mail", database="postgres")
            self.sql(f"CREATE ROLE postern LOGIN PASSWORD '{PASSWORD}'")
            self.sql(f"CREATE TABLE people (mail text PRIMARY KEY); INSERT INTO people VALUES "
                     f"{values}; GRANT SELECT ON people TO postern")
            self.mails = None
        return self

    def questions(self):
        """The values that were asked for, in their order."""
        return re.findall(r"(?:DETAIL|detail):  (?:parameters|Parameters): \$1 = '(.*)'",
                          self.log())
