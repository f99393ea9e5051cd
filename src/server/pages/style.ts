// The status page's style: no outside resource, dark mode by the reader's setting, readable at 360 px. Colours as in the
// report (audit/report-style.ts); every one of them is also a word.

export const pageStyle = `
:root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#57606a;--rule:#d5dae0;--good:#176f2c;--warn:#8a5300;--bad:#b3201f;--doubt:#7a3e9d;--cool:#0b5cad;--track:#e4e8ec}
@media (prefers-color-scheme:dark){:root{--page:#101418;--card:#1a2027;--ink:#e8ecf0;--soft:#a3adb8;--rule:#36404b;--good:#63c67a;--warn:#eab05c;--bad:#ff8a80;--doubt:#d0a1f0;--cool:#7ab8ff;--track:#2a323b}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem clamp(.8rem,3vw,2.5rem) 3rem;max-width:76rem;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.5rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2rem 0 .6rem}
p{margin:.3rem 0}
a{color:var(--cool)}
a:focus-visible,input:focus-visible,button:focus-visible{outline:3px solid var(--cool);outline-offset:2px}
.soft{color:var(--soft)}
.verdict{background:var(--card);border:1px solid var(--rule);border-left:.5rem solid var(--good);border-radius:6px;padding:1rem 1.2rem;margin:1rem 0}
.verdict.bad{border-left-color:var(--bad)}.verdict.warn{border-left-color:var(--warn)}
.verdict strong{font-size:1.3rem;line-height:1.3;display:block}
.groups{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;list-style:none;margin:1rem 0;padding:0}
.groups a,.groups span{display:block;height:100%;background:var(--card);border:1px solid var(--rule);border-top:.3rem solid var(--soft);border-radius:6px;padding:.5rem .8rem;color:inherit;text-decoration:none}
.groups a:hover{border-color:var(--cool)}
.groups [aria-current]{outline:2px solid var(--cool);outline-offset:-1px}
.groups b{display:block;font-size:1.6rem;line-height:1.2;font-variant-numeric:tabular-nums}
.groups .bad{border-top-color:var(--bad)}.groups .warn{border-top-color:var(--warn)}.groups .doubt{border-top-color:var(--doubt)}.groups .good{border-top-color:var(--good)}
form{display:flex;flex-wrap:wrap;gap:.5rem;align-items:end;margin:1.6rem 0 .4rem}
label{display:block;color:var(--soft);font-size:.85rem}
input{font:inherit;color:inherit;background:var(--page);border:1px solid var(--soft);border-radius:6px;padding:.35rem .6rem;width:min(20rem,100%)}
button{font:inherit;color:var(--page);background:var(--cool);border:0;border-radius:6px;padding:.45rem 1rem}
table{width:100%;border-collapse:collapse;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.55rem .9rem .55rem 0;border-bottom:1px solid var(--rule)}
thead th{color:var(--soft);font-weight:600;font-size:.85rem;border-bottom:2px solid var(--rule)}
tbody th{font-weight:600;overflow-wrap:anywhere;width:24%}
td.age{width:26%}td.state{width:17%}
.bar{display:block;width:100%;height:14px;margin:.25rem 0}
.bar .track{fill:var(--track)}.bar .fill{fill:var(--good)}.bar .warn{fill:var(--warn)}.bar .bad{fill:var(--bad)}
.bar .limit{fill:var(--ink)}.bar .due{fill:var(--soft)}
.days{font-size:.85rem;font-variant-numeric:tabular-nums}
.tag{font-weight:600}.tag::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:2px;margin-right:.4em;background:currentColor}
.tag.bad{color:var(--bad)}.tag.warn{color:var(--warn)}.tag.doubt{color:var(--doubt)}.tag.good{color:var(--good)}.tag.plain{color:var(--soft)}
.note{display:block;font-size:.85rem;color:var(--soft);overflow-wrap:anywhere}
.pages{display:flex;flex-wrap:wrap;gap:.4rem 1rem;margin:1rem 0}
footer{margin-top:2.5rem;color:var(--soft);font-size:.85rem;border-top:1px solid var(--rule);padding-top:.8rem}
footer a{margin-right:1rem}
@media (max-width:46rem){
body{font-size:16px}
.groups{grid-template-columns:1fr 1fr}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody{display:block}
tr{display:grid;grid-template-columns:minmax(8.5rem,1fr) minmax(0,auto);gap:.15rem .8rem;border-bottom:2px solid var(--rule);padding:.7rem 0}
th,td,tbody th,td.age,td.state{display:block;border:0;padding:0;width:auto;min-width:0}
td.state{text-align:right;grid-column:2;grid-row:1}
td.state .note{display:none}
td.age,td.next{grid-column:1/-1}
}
`;
