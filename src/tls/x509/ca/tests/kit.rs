//! A folder of certificates and lists that `openssl` makes.

use super::*;

/// A folder in which a shell makes certificates.
pub(super) struct Kit(TempDir);

/// What the scripts below share. Without an extension file, OpenSSL 3.0 makes certificates of version 1.
const FUNCTIONS: &str = r#"
set -e
v1=$(openssl x509 -help 2>&1 | grep -q -- -x509v1 && echo -x509v1 || true)
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:${2:-P-256} -out $1.key 2>/dev/null ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:${2:-P-256} -out $1.key; }
rsa() { openssl genrsa -out $1.key ${2:-2048} 2>/dev/null; }
# name, subject, options of x509
self_signed() { n=$1; s=$2; shift 2; openssl req -new -key $n.key -subj "$s" -utf8 | openssl x509 -req -signkey $n.key -days 3650 -out $n.crt "$@" 2>/dev/null; }
# name, CA, subject, options of x509
signed() { n=$1; ca=$2; s=$3; shift 3; openssl req -new -key $n.key -subj "$s" -utf8 | openssl x509 -req -CA $ca.crt -CAkey $ca.key -CAcreateserial -days 365 -out $n.crt "$@" 2>/dev/null; }
# CA, name of the list, options of ca; the serials to revoke come in
crl() { ca=$1; out=$2; shift 2; : > $out.index; while read serial; do printf 'R\t391231235959Z\t240101000000Z\t%s\tunknown\t/CN=x\n' $serial >> $out.index; done
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s.index\ndefault_md=sha256\n' $out > $out.cnf
  [ -z "$crlnumber" ] || { echo 01 > $out.number; printf 'crlnumber=%s.number\n' $out >> $out.cnf; }
  openssl ca -gencrl -config $out.cnf -cert $ca.crt -keyfile $ca.key -crldays 30 -out $out.crl "$@" 2>/dev/null; }
serial() { openssl x509 -in $1.crt -noout -serial | cut -d= -f2; }
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' > ca.ext
printf 'extendedKeyUsage=clientAuth\n' > client.ext
printf 'extendedKeyUsage=serverAuth\n' > server.ext
printf 'basicConstraints=CA:FALSE\n' > leaf.ext
"#;

impl Kit {
    /// None, with a word about it, where there is no `openssl`.
    pub(super) fn make(script: &str) -> Option<Kit> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: there is no openssl");
            return None;
        }
        let kit = Kit(tempfile::tempdir().unwrap());
        kit.run(script);
        Some(kit)
    }

    pub(super) fn run(&self, script: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", &format!("{FUNCTIONS}\n{script}")])
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    pub(super) fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&self.read(name)).unwrap()
    }

    pub(super) fn load(&self, bundle: &str, lists: &[&str], now: UnixTime) -> (Option<Ca>, Vec<CaFinding>) {
        let bytes = self.read(bundle);
        let contents: Vec<_> = lists.iter().map(|list| (*list, self.read(list))).collect();
        let lists: Vec<_> = contents.iter().map(|(name, bytes)| CaFile { name, bytes }).collect();
        Ca::load_at(CaFile { name: bundle, bytes: &bytes }, &lists, now)
    }

    /// The verdict of a listener with this one `[[ca]]`.
    pub(super) fn verify(
        &self,
        bundle: &str,
        lists: &[&str],
        chain: &[&str],
        day: u64,
    ) -> Result<(), ClientCertificateError> {
        let (authority, findings) = self.load(bundle, lists, today());
        let authority = authority.unwrap_or_else(|| panic!("{findings:?}"));
        let chain: Vec<_> = chain.iter().map(|name| self.certificate(name)).collect();
        TrustedCas::new(vec![Arc::new(authority)]).verify(&chain, in_days(day))
    }

    pub(super) fn problems(&self, bundle: &str, lists: &[&str]) -> Vec<Problem> {
        self.load(bundle, lists, today()).1.into_iter().map(|finding| finding.problem).collect()
    }
}

pub(super) fn today() -> UnixTime {
    UnixTime::now()
}

pub(super) fn in_days(days: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(today().as_secs() + days * 86_400))
}
