//! What the kernel counts of TCP in a network namespace: `/proc/PID/net/snmp` and `netstat`, as far as
//! cAdvisor shows it. Keeps nothing from scrape to scrape.

use crate::{
    scan,
    source::{File, Paths, Root},
};
use std::fmt;

/// The files, and the protocol in each.
const TABLES: [(&str, &[u8]); 2] = [("snmp", b"Tcp:"), ("netstat", b"TcpExt:")];
/// What cAdvisor shows, called as by the kernel but in small letters.
const SHOWN: [&str; 99] = [
    "rtoalgorithm",
    "rtomin",
    "rtomax",
    "maxconn",
    "activeopens",
    "passiveopens",
    "attemptfails",
    "estabresets",
    "currestab",
    "insegs",
    "outsegs",
    "retranssegs",
    "inerrs",
    "outrsts",
    "incsumerrors",
    "delayedacklocked",
    "delayedacklost",
    "delayedacks",
    "embryonicrsts",
    "ipreversepathfilter",
    "listendrops",
    "listenoverflows",
    "lockdroppedicmps",
    "ofopruned",
    "outofwindowicmps",
    "pawsactive",
    "pawsestab",
    "pfmemallocdrop",
    "prunecalled",
    "rcvpruned",
    "syncookiesfailed",
    "syncookiesrecv",
    "syncookiessent",
    "tcpabortfailed",
    "tcpabortonclose",
    "tcpabortondata",
    "tcpabortonlinger",
    "tcpabortonmemory",
    "tcpabortontimeout",
    "tcpbacklogdrop",
    "tcpdeferacceptdrop",
    "tcpdsackignorednoundo",
    "tcpdsackignoredold",
    "tcpdsackoforecv",
    "tcpdsackofosent",
    "tcpdsackoldsent",
    "tcpdsackrecv",
    "tcpdsackundo",
    "tcpfackreorder",
    "tcpfastopenactive",
    "tcpfastopenactivefail",
    "tcpfastopencookiereqd",
    "tcpfastopenlistenoverflow",
    "tcpfastopenpassive",
    "tcpfastopenpassivefail",
    "tcpfastretrans",
    "tcpfullundo",
    "tcphpacks",
    "tcphphits",
    "tcplossfailures",
    "tcplossproberecovery",
    "tcplossprobes",
    "tcplossundo",
    "tcplostretransmit",
    "tcpmd5failure",
    "tcpmd5notfound",
    "tcpmd5unexpected",
    "tcpmemorypressures",
    "tcpmemorypressureschrono",
    "tcpminttldrop",
    "tcporigdatasent",
    "tcppartialundo",
    "tcppureacks",
    "tcprcvcollapsed",
    "tcprenofailures",
    "tcprenorecovery",
    "tcprenorecoveryfail",
    "tcprenoreorder",
    "tcpreqqfulldocookies",
    "tcpreqqfulldrop",
    "tcpretransfail",
    "tcpsackdiscard",
    "tcpsackfailures",
    "tcpsackmerged",
    "tcpsackrecovery",
    "tcpsackrecoveryfail",
    "tcpsackreneging",
    "tcpsackreorder",
    "tcpsackshifted",
    "tcpsackshiftfallback",
    "tcpslowstartretrans",
    "tcpspuriousrtos",
    "tcpsynretrans",
    "tcptimeouts",
    "tcptimewaitoverflow",
    "tcptsreorder",
    "tw",
    "twkilled",
    "twrecycled",
];

/// A counter: its name, and its value.
pub(super) type Counter = (&'static str, f64);

/// Those of the namespace of a process; none of a table that cannot be read.
pub(super) fn read(paths: &Paths, file: &mut File, pid: impl fmt::Display, counters: &mut Vec<Counter>) {
    for (table, protocol) in TABLES {
        if let Some(content) = file.content(paths, Root::Proc, format_args!("{pid}/net/{table}")) {
            add(content, protocol, counters);
        }
    }
}

/// A line of names and one of values, each behind the protocol. A last line without its end may be cut.
fn add(content: &[u8], protocol: &[u8], counters: &mut Vec<Counter>) {
    let whole = memchr::memrchr(b'\n', content).map_or(&[][..], |end| &content[..end]);
    let mut lines = scan::lines(whole).filter_map(|line| line.strip_prefix(protocol));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return };
    for (name, value) in scan::fields(names).zip(scan::fields(values)) {
        let shown = SHOWN.iter().find(|shown| shown.as_bytes().eq_ignore_ascii_case(name));
        counters.extend(shown.copied().zip(scan::signed_decimal(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counters(content: &[u8], protocol: &[u8]) -> Vec<Counter> {
        let mut counters = Vec::new();
        add(content, protocol, &mut counters);
        counters
    }

    #[test]
    fn counters_of_one_protocol_are_taken() {
        let snmp =
            b"Ip: Forwarding InReceives\nIp: 1 7\nTcp: RtoMin MaxConn Unheard InSegs\nTcp: 200 -1 3 9\n";
        assert_eq!(counters(snmp, b"Tcp:"), [("rtomin", 200.0), ("maxconn", -1.0), ("insegs", 9.0)]);
        let netstat = b"TcpExt: TW TCPHPHits\nTcpExt: 4 x\nIpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(counters(netstat, b"TcpExt:"), [("tw", 4.0)]);
        assert_eq!(counters(b"Tcp: RtoMin\nTcp: 20", b"Tcp:"), [], "half a line is none");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in "(Tcp: |RtoMin|TW|\\n|[0-9]| |.){0,30}") {
            counters(bytes.as_bytes(), b"Tcp:");
        }
    }
}
