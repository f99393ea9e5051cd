// The style sheet of every page: dark mode by the reader's setting, readable at 360 px, printable.
// Each colour also has a word beside it. Contrast is at least 4.5 to 1.

import { cellsOf, titleRules } from './tables.ts';

/** Each row of a table as a card, for a screen that is narrower than the table. */
const cards = (table: string): string => `
${table} thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
${table},${table} tbody{display:block}
${table} tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));
gap:.3rem .8rem;border-bottom:2px solid var(--rule);padding:.6rem 0}
${table} th,${table} td:nth-child(n){min-width:0;width:auto;display:block;border:0;padding:0;
text-align:left;white-space:normal}
${table} th,${table} :where(${cellsOf('wide')}){grid-column:1/-1}
${table} td::before{display:block;color:var(--soft);font-size:.78rem}
${table} th{font-size:1rem}${table} time{white-space:normal}`;

export const styleSheet = `
:root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#57606a;
--rule:#d5dae0;--good:#176f2c;--warn:#8a5300;--bad:#b3201f;--doubt:#7a3e9d;--link:#0b5cad;
--track:#e4e8ec;--area:#0b5cad1f;--stop:#7a3e9d33}
@media screen and (prefers-color-scheme:dark){:root{--page:#101418;--card:#1a2027;--ink:#e8ecf0;
--soft:#a3adb8;--rule:#36404b;--good:#63c67a;--warn:#eab05c;--bad:#ff8a80;--doubt:#d0a1f0;
--link:#7ab8ff;--track:#2a323b;--area:#7ab8ff26;--stop:#d0a1f040}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem clamp(.8rem,3vw,2.5rem) 3rem;max-width:76rem;
background:var(--page);color:var(--ink);overflow-wrap:break-word;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
h1{font-size:1.5rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2.2rem 0 .6rem;padding-bottom:.3rem;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:1.3rem 0 .3rem}
p{margin:.3rem 0}
a{color:var(--link)}
a:focus-visible,input:focus-visible,button:focus-visible{outline:3px solid var(--link);
outline-offset:2px}
code,pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,"Liberation Mono",monospace}
pre{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.7rem .9rem;
white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0}
.soft{color:var(--soft)}
time,.tag{white-space:nowrap}
footer{margin-top:2.5rem;color:var(--soft);font-size:.85rem;border-top:1px solid var(--rule);
padding-top:.8rem}
footer nav a{margin-right:1rem}

.good{--tone:var(--good)}.warn{--tone:var(--warn)}.bad{--tone:var(--bad)}
.doubt{--tone:var(--doubt)}.plain{--tone:var(--soft)}
.verdict{background:var(--card);border:1px solid var(--rule);border-left:.5rem solid var(--tone);
border-radius:6px;padding:1rem 1.2rem;margin:1rem 0}
.verdict strong{font-size:1.3rem;line-height:1.3;display:block}
.verdict p:last-child{margin-bottom:0}
.verdicts{display:grid;grid-template-columns:1fr 1fr;gap:.8rem;margin:1rem 0}
.verdicts .verdict{margin:0}.verdicts h3{margin:0 0 .2rem;color:var(--soft)}
.verdicts a{color:inherit;text-decoration-color:var(--rule);text-underline-offset:.2em}
.contents{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:.6rem 0;margin:1rem 0;
border:1px solid var(--rule);border-width:1px 0}
.sign{display:none}
.counts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;
list-style:none;margin:1rem 0;padding:0}
.counts>li>*{display:block;height:100%;background:var(--card);border:1px solid var(--rule);
border-top:.3rem solid var(--tone);border-radius:6px;padding:.5rem .8rem;color:inherit;
text-decoration:none}
.counts a:hover{border-color:var(--link)}
.counts [aria-current]{outline:2px solid var(--link);outline-offset:-1px}
.counts b{display:block;font-size:1.6rem;line-height:1.2;font-variant-numeric:tabular-nums}
.tag{font-weight:600;color:var(--tone)}
.tag::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:2px;
margin-right:.4em;background:currentColor}
.note{display:block;font-size:.85rem;color:var(--soft);overflow-wrap:anywhere}
.note time{white-space:normal}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.5rem 1.5rem;
margin:.8rem 0;padding:0}
.facts div{min-width:0}.facts dt{color:var(--soft);font-size:.85rem}
.facts dd{margin:0;overflow-wrap:anywhere}

form{display:flex;flex-wrap:wrap;gap:.5rem;align-items:end;margin:1.6rem 0 .4rem}
label{display:block;color:var(--soft);font-size:.85rem}
input{font:inherit;color:inherit;background:var(--page);border:1px solid var(--soft);
border-radius:6px;padding:.35rem .6rem;width:min(20rem,100%)}
button{font:inherit;color:var(--page);background:var(--link);border:0;border-radius:6px;
padding:.45rem 1rem}
.pages{display:flex;flex-wrap:wrap;gap:.4rem 1rem;margin:1rem 0}

table{width:100%;border-collapse:collapse;margin:.5rem 0;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .7rem .4rem 0;
border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--rule);
overflow-wrap:normal;vertical-align:bottom}
tbody th{font-weight:600;min-width:7.5rem}
td{min-width:4.2rem}td::before{display:none}
${titleRules}
td:where(${cellsOf('date')}){min-width:5.8rem}
td:empty::after{content:"\\2014"}
table :where(${cellsOf('number')}){text-align:right;font-variant-numeric:tabular-nums}
td:where(${cellsOf('number')}){white-space:nowrap;min-width:0}
td>p:first-child{margin-top:0}
.status tbody th{width:16%}.status td:nth-child(2){width:18%}.status td:nth-child(3){width:19%}
.steps{margin:.3rem 0;padding-left:1.2rem}
.steps code{display:block;background:var(--card);border:1px solid var(--rule);border-radius:4px;
padding:.15rem .5rem;margin:.15rem 0 .4rem;white-space:pre-wrap;user-select:all}
.bar{display:block;width:100%;height:14px;margin:.25rem 0}
.bar rect{fill:var(--tone)}.bar .track{fill:var(--track)}.bar .limit,.bar .due{fill:var(--ink)}

.strips{margin:.6rem 0}
.row{display:grid;grid-template-columns:minmax(6rem,12rem) 1fr 4.6rem;gap:.8rem;
align-items:center;border-bottom:1px solid var(--rule);padding:2px 0;break-inside:avoid;
font-size:.85rem}
.row .name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.row .most{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.row .over{color:var(--bad);font-weight:600}
.axis{border:0;color:var(--soft)}
.months{display:block;width:100%;height:1.4em;overflow:visible;font-size:.8rem}
.months text{fill:var(--soft)}.months line{stroke:var(--rule)}
.strip{display:block;width:100%;height:30px}
.strip path{fill:none;vector-effect:non-scaling-stroke}
.strip .area{fill:var(--area)}
.strip .age{stroke:var(--link);stroke-width:1.6}
.strip .over{stroke:var(--bad);stroke-width:2.4}
.strip .limit{stroke:var(--bad);stroke-width:1;stroke-dasharray:5 4}
.strip .changed{stroke:var(--good);stroke-width:2}
.strip .outside{stroke:var(--warn);stroke-width:4}
.strip .failed{stroke:var(--bad);stroke-width:3}
.strip .stop{fill:var(--stop)}.strip .unknown{fill:var(--track)}
.strip .exempted{fill:none;stroke:var(--soft);stroke-dasharray:2 3}
.strip .day{stroke:none}
.day.compliant{fill:var(--good)}.day.exempt{fill:var(--soft)}
.day.unknown{fill:var(--doubt)}.day.overdue{fill:var(--bad)}
.band .strip{height:60px}
.chunk{content-visibility:auto;contain-intrinsic-size:auto 3500px}
.accounts{font-size:.85rem}.accounts td:nth-child(2){min-width:12rem}
.histories{list-style:none;margin:.6rem 0;padding:0}
.histories li{border-bottom:1px solid var(--rule);padding:.3rem 0 .3rem 1rem;text-indent:-1rem;
white-space:pre-line;font-size:.85rem}
.histories li:target{background:var(--card)}.histories bdi{font-weight:600}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;list-style:none;margin:.4rem 0;padding:0;
font-size:.85rem;color:var(--soft)}
.legend .strip{display:inline-block;width:1.6rem;height:1rem;vertical-align:-.2rem;
margin-right:.35rem}

@media screen and (max-width:46rem){
body{font-size:16px}
.verdicts{grid-template-columns:1fr}
.counts{grid-template-columns:1fr 1fr}
.row{grid-template-columns:1fr auto;gap:0 .6rem;padding:.4rem 0}
.row .name{grid-column:1;white-space:normal}.row .most{grid-column:2}
.row .strip,.row .months{grid-column:1/-1;grid-row:2}
.axis .name,.axis .most,.months g:nth-child(even),.year{display:none}
${cards('table')}
}
@media screen and (max-width:71rem){${cards('.accounts')}}
@media print{
@page{size:A4;margin:14mm 10mm 18mm;@bottom-right{content:"Page " counter(page) " of "
counter(pages);font-size:8pt}}
.sign{display:block;margin:1rem 0}.sign span{display:inline-block;width:14rem;
border-bottom:1px solid var(--ink);margin:1.2rem 1rem 0 .3rem}
.chunk{content-visibility:visible}.contents{display:none}
:root{color-scheme:light;--ink:#000;--soft:#444;--rule:#bbb}
body{max-width:none;padding:0;font-size:10pt}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
h2,h3{break-after:avoid}tr,pre,li,.verdict{break-inside:avoid}thead{display:table-header-group}
table,code,pre{font-size:8pt}.accounts,.histories li,.note{font-size:7pt}
.histories li{line-height:1.35;padding-top:.1rem;padding-bottom:.1rem}
td,th{padding:.15rem .4rem .15rem 0}tbody th{min-width:4.2rem}
td{min-width:2.6rem}td:where(${cellsOf('date')}){min-width:4.2rem}
.accounts td:nth-child(2){min-width:5.5rem}.year{display:none}.strip{height:16px}
.row{padding:0;grid-template-columns:9rem 1fr 3.4rem;font-size:8pt}
a{color:inherit;text-decoration:none}
}
`;
