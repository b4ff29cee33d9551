# RSA and ECC keys under a primary key; a salted session authorizes their use.
tsscreateprimary -hi o -rsa -opu primary.pub
tssstartauthsession -se h -hs 80000000
for kind in 'rsa' 'ecc nistp256'; do
    tsscreate -hp 80000000 -si -$kind -kt f -kt p -opu key.pub -opr key.priv -pwdk word -se0 02000000 1
    tssload -hp 80000000 -ipu key.pub -ipr key.priv -se0 02000000 1
    printf message >message
    algorithm=$(echo $kind | cut -d ' ' -f 1)
    tsssign -hk 80000001 -halg sha256 "-$algorithm" -if message -os sig -pwdk word -se0 02000000 1
    tssverifysignature -hk 80000001 -halg sha256 "-$algorithm" -if message -is sig
    tssflushcontext -ha 80000001
done
