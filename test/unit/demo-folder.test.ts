import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FolderRefused, freshFolder } from '../../examples/demo/folder';

const temporary = (): string => mkdtempSync(join(tmpdir(), 'cutover-demo-'));

describe("the demo's folder", () => {
  it('is emptied when an earlier demo made it', () => {
    const folder = join(temporary(), 'demo');
    freshFolder(folder);
    writeFileSync(join(folder, 'old.log'), '');
    writeFileSync(join(folder, '.cutover-demo'), '999999999\n');
    freshFolder(folder);
    expect(readdirSync(folder)).toEqual(['.cutover-demo']);
  });

  it('is refused, and left alone, when it holds anything else', () => {
    const folder = temporary();
    writeFileSync(join(folder, 'thesis.txt'), 'the only copy');
    expect(() => freshFolder(folder)).toThrow('was not made by the demo');
    expect(() => freshFolder(folder)).toThrow(FolderRefused);
    expect(existsSync(join(folder, 'thesis.txt'))).toBe(true);
  });

  it('is refused while another demo runs in it', () => {
    const folder = temporary();
    writeFileSync(join(folder, '.cutover-demo'), `${process.ppid}\n`);
    expect(() => freshFolder(folder)).toThrow(`pid ${process.ppid} still runs`);
  });
});
