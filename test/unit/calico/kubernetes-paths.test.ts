import { describePath } from '../../../activities/calico/kubernetes/answers';

test.each([
  ['/apis/crd.projectcalico.org/v1/ippools/default', undefined, 'ippools default'],
  ['/apis/crd.projectcalico.org/v1/namespaces/shop/networkpolicies/web?limit=1', undefined, 'networkpolicies shop/web'],
  ['/apis/crd.projectcalico.org/v1/namespaces/shop/networkpolicies', 'web', 'networkpolicies shop/web'],
  ['/apis/crd.projectcalico.org/v1/namespaces/shop/networkpolicies', undefined, 'networkpolicies of namespace shop'],
  ['/api/v1/nodes/a/status', undefined, 'nodes/status a'],
  ['/api/v1/namespaces', undefined, 'namespaces'],
  ['/api/v1/namespaces/shop', undefined, 'namespaces shop'],
])('people are told of %s (%s) as %s', (path, name, told) => {
  expect(describePath(path, name)).toBe(told);
});
