tsscreateprimary -hi e -rsa
tsscreate -hp 80000000 -sir -ecc nistp256 -kt f -kt p -opu key.pub -opr key.priv
tssload -hp 80000000 -ipu key.pub -ipr key.priv
tssquote -hp 16 -hk 80000001 -halg sha256 -salg ecc -palg sha256 -oa quote -os sig
tssverifysignature -hk 80000001 -halg sha256 -ecc -if quote -is sig
tsscertify -ho 80000000 -hk 80000001 -halg sha256 -salg ecc -oa certify -os sig
tssverifysignature -hk 80000001 -halg sha256 -ecc -if certify -is sig
tssgettime -hk 80000001 -halg sha256 -salg ecc -oa time -os sig
tssverifysignature -hk 80000001 -halg sha256 -ecc -if time -is sig
